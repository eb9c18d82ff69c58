//! Scripts of pods' lives: steps and what must be seen after them.

use minato_podlife::{FailureKind, ProbeKind, Rejection, StopCause};
use serde_json::{Value, json};

use crate::world::World;

/// One step of a script.
enum Step<'a> {
    Settle,
    Exit(&'a str, i32),
    Pass(i64),
    Debug(&'a str),
    Delete(i64),
    Obey,
    Probe(&'a str, ProbeKind, bool),
    FailStarts(Option<FailureKind>),
    /// The kubelet restarts: what it remembers is gone.
    Restart,
    Reject,
    Phase(&'a str),
    State(&'a str, &'a str),
    Condition(&'a str, &'a str),
    Started(&'a [&'a str]),
    Stops(&'a [(&'a str, i64, StopCause)]),
    Restarts(&'a str, i32),
    Finished(bool),
}

use Step::*;

fn check(spec: Value, steps: &[Step<'_>]) {
    let shown = spec.to_string();
    let mut world = World::new(spec);
    for (place, step) in steps.iter().enumerate() {
        let at = format!("step {place} of {shown}\n{}", serde_json::to_string_pretty(&world.status).unwrap());
        match step {
            Settle => drop(world.settle()),
            Exit(name, code) => world.exit(name, *code),
            Pass(seconds) => world.pass(*seconds),
            Debug(name) => world.debug(name),
            Delete(grace) => world.delete(*grace),
            Obey => world.obey_stops(),
            Probe(name, kind, healthy) => {
                let id = world.running_id(name).expect(&at);
                world.memory.probed(name, &id, *kind, *healthy);
            }
            FailStarts(kind) => world.fail_start = *kind,
            Restart => world.memory = Default::default(),
            Reject => world.memory.reject(Rejection { reason: "OutOfcpu".into(), message: "no cpu".into() }),
            Phase(phase) => assert_eq!(world.phase(), *phase, "{at}"),
            State(name, state) => assert_eq!(world.state(name), *state, "{at}"),
            Condition(kind, value) => assert_eq!(world.condition(kind), *value, "{at}"),
            Started(names) => assert_eq!(std::mem::take(&mut world.started), *names, "{at}"),
            Stops(stops) => {
                let seen: Vec<(String, i64, StopCause)> = std::mem::take(&mut world.stops);
                let seen: Vec<(&str, i64, StopCause)> = seen.iter().map(|(n, g, c)| (n.as_str(), *g, *c)).collect();
                assert_eq!(seen, *stops, "{at}");
            }
            Restarts(name, count) => {
                let statuses = world.status.container_statuses.iter().flatten();
                let mut statuses = statuses.chain(world.status.init_container_statuses.iter().flatten());
                assert_eq!(statuses.find(|status| status.name == *name).unwrap().restart_count, *count, "{at}");
            }
            Finished(finished) => assert_eq!(world.finished, *finished, "{at}"),
        }
    }
}

fn containers(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "image": "i"})).collect()
}

#[test]
fn a_plain_pod_runs_and_is_deleted() {
    check(
        json!({"containers": containers(&["a", "b"])}),
        &[
            Settle,
            Started(&["a", "b"]),
            Phase("Running"),
            Condition("Ready", "True"),
            Condition("PodReadyToStartContainers", "True"),
            Settle,
            Started(&[]),
            Delete(30),
            Settle,
            Stops(&[("a", 30, StopCause::Deleted), ("b", 30, StopCause::Deleted)]),
            Phase("Running"),
            Finished(false),
            Settle,
            Stops(&[]),
            Obey,
            Settle,
            Finished(true),
            Phase("Failed"),
            State("a", "terminated:Error:143"),
            Condition("Ready", "False:PodFailed"),
        ],
    );
}

#[test]
fn a_shorter_grace_period_overrides_a_longer_one() {
    check(
        json!({"containers": containers(&["a"])}),
        &[
            Settle,
            Delete(30),
            Settle,
            Stops(&[("a", 30, StopCause::Deleted)]),
            Pass(1),
            Delete(0),
            Settle,
            Stops(&[("a", 1, StopCause::Deleted)]),
            Obey,
            Settle,
            Finished(true),
        ],
    );
}

#[test]
fn a_pod_deleted_before_it_ran_just_goes() {
    check(
        json!({"containers": containers(&["a"])}),
        &[Delete(30), Settle, Finished(true), Started(&[]), Phase("Failed")],
    );
}

#[test]
fn restart_policies() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "containers": containers(&["a"])});
    let always = [
        Settle,
        Exit("a", 0),
        Settle,
        Phase("Running"),
        Started(&["a", "a"]),
        Restarts("a", 1),
        Exit("a", 1),
        Settle,
        State("a", "waiting:CrashLoopBackOff"),
        Phase("Running"),
        Condition("ContainersReady", "False:ContainersNotReady"),
        Pass(9),
        Settle,
        Started(&[]),
        Pass(1),
        Settle,
        Started(&["a"]),
        Restarts("a", 2),
        Exit("a", 1),
        Settle,
        Pass(19),
        Settle,
        Started(&[]),
        Pass(1),
        Settle,
        Started(&["a"]),
        Pass(700),
        Exit("a", 1),
        Settle,
        Started(&["a"]),
    ];
    check(spec("Always"), &always);
    check(
        spec("OnFailure"),
        &[
            Settle,
            Exit("a", 1),
            Settle,
            Started(&["a", "a"]),
            Exit("a", 0),
            Settle,
            Phase("Succeeded"),
            State("a", "terminated:Completed:0"),
            Condition("Ready", "False:PodCompleted"),
            Condition("Initialized", "True:PodCompleted"),
        ],
    );
    check(
        spec("Never"),
        &[
            Settle,
            Exit("a", 3),
            Settle,
            Phase("Failed"),
            State("a", "terminated:Error:3"),
            Pass(1000),
            Settle,
            Started(&["a"]),
            Phase("Failed"),
            Delete(30),
            Settle,
            Finished(true),
            Phase("Failed"),
        ],
    );
    check(spec("Never"), &[Settle, Exit("a", 137), Settle, State("a", "terminated:OOMKilled:137")]);
    check(
        json!({"restartPolicy": "Never", "containers": containers(&["a", "b"])}),
        &[Settle, Exit("a", 1), Settle, Phase("Running"), Exit("b", 0), Settle, Phase("Failed")],
    );
}

#[test]
fn init_containers_run_in_order() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "initContainers": containers(&["i", "j"]), "containers": containers(&["a"])});
    check(
        spec("Always"),
        &[
            Settle,
            Started(&["i"]),
            Phase("Pending"),
            State("i", "running"),
            State("j", "waiting:PodInitializing"),
            State("a", "waiting:PodInitializing"),
            Condition("Initialized", "False:ContainersNotInitialized"),
            Exit("i", 0),
            Settle,
            Started(&["j"]),
            Exit("j", 1),
            Settle,
            Started(&["j"]),
            Phase("Pending"),
            Exit("j", 1),
            Settle,
            State("j", "waiting:CrashLoopBackOff"),
            Pass(10),
            Settle,
            Started(&["j"]),
            Exit("j", 0),
            Settle,
            Started(&["a"]),
            Phase("Running"),
            Condition("Initialized", "True"),
            State("i", "terminated:Completed:0"),
            Exit("a", 1),
            Settle,
            Started(&["a"]),
        ],
    );
    check(
        spec("Never"),
        &[Settle, Exit("i", 1), Settle, Phase("Failed"), Started(&["i"]), State("a", "waiting:PodInitializing")],
    );
}

#[test]
fn sidecars_start_first_and_end_last() {
    check(
        json!({
            "restartPolicy": "Never",
            "initContainers": [
                {"name": "s", "image": "i", "restartPolicy": "Always", "startupProbe": {"exec": {}}},
                {"name": "t", "image": "i", "restartPolicy": "Always"},
            ],
            "containers": containers(&["a"]),
        }),
        &[
            Settle,
            Started(&["s"]),
            Phase("Pending"),
            Probe("s", ProbeKind::Startup, true),
            Settle,
            Started(&["t", "a"]),
            Phase("Running"),
            Exit("t", 1),
            Settle,
            Started(&["t"]),
            Exit("a", 0),
            Settle,
            Stops(&[("t", 30, StopCause::Finished)]),
            Phase("Running"),
            Obey,
            Settle,
            Stops(&[("s", 30, StopCause::Finished)]),
            Obey,
            Settle,
            Phase("Succeeded"),
        ],
    );
}

#[test]
fn probes_gate_readiness_and_restart() {
    check(
        json!({"containers": [{"name": "a", "image": "i", "startupProbe": {"exec": {}}, "readinessProbe": {"exec": {}},
            "livenessProbe": {"exec": {}, "terminationGracePeriodSeconds": 5}}]}),
        &[
            Settle,
            Phase("Running"),
            Condition("Ready", "False:ContainersNotReady"),
            Probe("a", ProbeKind::Readiness, true),
            Settle,
            Condition("Ready", "False:ContainersNotReady"),
            Probe("a", ProbeKind::Startup, true),
            Settle,
            Condition("Ready", "True"),
            Probe("a", ProbeKind::Readiness, false),
            Settle,
            Condition("Ready", "False:ContainersNotReady"),
            Started(&["a"]),
            Probe("a", ProbeKind::Liveness, false),
            Settle,
            Stops(&[("a", 5, StopCause::Liveness)]),
            Settle,
            Stops(&[]),
            Obey,
            Settle,
            Started(&["a"]),
            Condition("Ready", "False:ContainersNotReady"),
            Probe("a", ProbeKind::Startup, false),
            Settle,
            Stops(&[("a", 30, StopCause::Startup)]),
        ],
    );
}

#[test]
fn a_restart_of_the_kubelet_changes_nothing() {
    check(
        json!({"containers": [{"name": "a", "image": "i", "readinessProbe": {"exec": {}}, "startupProbe": {"exec": {}}}]}),
        &[
            Settle,
            Probe("a", ProbeKind::Startup, true),
            Probe("a", ProbeKind::Readiness, true),
            Settle,
            Condition("Ready", "True"),
            Started(&["a"]),
            Restart,
            Settle,
            Condition("Ready", "True"),
            Started(&[]),
            Probe("a", ProbeKind::Readiness, false),
            Settle,
            Condition("Ready", "False:ContainersNotReady"),
        ],
    );
}

#[test]
fn failures_to_start() {
    let spec = json!({"containers": containers(&["a"])});
    for (kind, first, then) in [
        (FailureKind::ImagePull, "waiting:ErrImagePull", "waiting:ImagePullBackOff"),
        (FailureKind::ImageNeverPull, "waiting:ErrImageNeverPull", "waiting:ErrImageNeverPull"),
        (FailureKind::Config, "waiting:CreateContainerConfigError", "waiting:CreateContainerConfigError"),
        (FailureKind::Create, "waiting:CreateContainerError", "waiting:CreateContainerError"),
        (FailureKind::InvalidImageName, "waiting:InvalidImageName", "waiting:InvalidImageName"),
    ] {
        check(
            spec.clone(),
            &[
                FailStarts(Some(kind)),
                Settle,
                State("a", first),
                Phase("Pending"),
                Pass(3),
                Settle,
                State("a", then),
                FailStarts(None),
                Pass(8),
                Settle,
                State("a", "running"),
                Restarts("a", 0),
            ],
        );
    }
    check(
        spec,
        &[
            FailStarts(Some(FailureKind::Run)),
            Settle,
            State("a", "waiting:RunContainerError"),
            Pass(3),
            Settle,
            State("a", "waiting:CrashLoopBackOff"),
            Restarts("a", 1),
        ],
    );
    check(
        json!({"restartPolicy": "Never", "containers": containers(&["a"])}),
        &[FailStarts(Some(FailureKind::Run)), Settle, State("a", "terminated:StartError:128"), Phase("Failed")],
    );
}

#[test]
fn deadlines_and_refusals_fail_the_pod() {
    check(
        json!({"activeDeadlineSeconds": 60, "containers": containers(&["a"])}),
        &[
            Settle,
            Pass(59),
            Settle,
            Phase("Running"),
            Pass(1),
            Settle,
            Phase("Failed"),
            Stops(&[("a", 30, StopCause::Finished)]),
            Obey,
            Settle,
            Phase("Failed"),
            Started(&["a"]),
        ],
    );
    check(json!({"containers": containers(&["a"])}), &[Reject, Settle, Phase("Failed"), Started(&[])]);
}

#[test]
fn ephemeral_containers_run_once() {
    check(
        json!({"initContainers": containers(&["init"]), "containers": containers(&["a"])}),
        &[
            Settle,
            Started(&["init"]),
            Debug("first"),
            Settle,
            Started(&["first"]),
            Exit("init", 0),
            Settle,
            Started(&["a"]),
            Phase("Running"),
            Exit("first", 3),
            Settle,
            Started(&[]),
            State("first", "terminated:Error:3"),
            Phase("Running"),
            Condition("Ready", "True"),
            FailStarts(Some(FailureKind::ImagePull)),
            Debug("second"),
            Settle,
            State("second", "waiting:ErrImagePull"),
            FailStarts(None),
            Pass(30),
            Restart,
            Settle,
            Started(&["second"]),
            State("second", "running"),
            Delete(30),
            Settle,
            Stops(&[("a", 30, StopCause::Deleted), ("second", 30, StopCause::Deleted)]),
            Obey,
            Settle,
            Finished(true),
        ],
    );
}

#[test]
fn container_restart_rules_come_before_the_policy() {
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    check(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i", "restartPolicy": "Never", "restartPolicyRules": rules}]}),
        &[Settle, Exit("a", 42), Settle, Started(&["a", "a"]), Exit("a", 1), Settle, Phase("Failed")],
    );
}
