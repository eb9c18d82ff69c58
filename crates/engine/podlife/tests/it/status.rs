//! Details of the status.

use jiff::{SignedDuration, Timestamp};
use minato_podlife::{Exit, FailureKind, StartFailure};
use serde_json::json;

use crate::world::World;

#[test]
fn addresses_classes_and_times() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.settle();
    let start = world.now;
    let status = &world.status;
    assert_eq!(status.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(status.host_ip.as_deref(), Some("192.168.0.1"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(status.observed_generation, Some(1));
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("minato://c1"));
    assert_eq!((container.ready, container.started, container.restart_count), (true, Some(true), 0));
    world.pass(100);
    world.settle();
    let ready = world.status.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.last_transition_time.as_ref().unwrap().0, start);
    assert_eq!(world.status.start_time.as_ref().unwrap().0, start);
}

#[test]
fn the_last_state_is_the_attempt_before() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.settle();
    world.exit("a", 7);
    world.settle();
    let container = &world.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.restart_count, 1);
    assert!(container.state.as_ref().unwrap().running.is_some());
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.container_id.as_deref()), (7, Some("minato://c1")));
    world.exit("a", 8);
    world.settle();
    let container = &world.status.container_statuses.as_ref().unwrap()[0];
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.message.as_deref(), Some("back-off 10s restarting failed container=a pod=p_n(u)"));
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 8);
}

#[test]
fn only_two_attempts_of_a_container_are_kept() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    for _ in 0..6 {
        world.settle();
        world.pass(1000);
        world.settle();
        world.exit("a", 1);
    }
    world.settle();
    assert_eq!(world.observed.containers.len(), 2, "{:?}", world.observed);
}

#[test]
fn a_container_the_runtime_lost_is_restarted_and_counted() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.settle();
    world.observed.containers.clear();
    world.settle();
    let container = &world.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.restart_count, 1);
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
}

#[test]
fn an_ephemeral_container_the_runtime_lost_has_ended() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.debug("debugger");
    world.settle();
    assert_eq!(world.state("debugger"), "running");
    world.observed.containers.clear();
    world.started.clear();
    world.settle();
    assert_eq!(world.state("debugger"), "terminated:ContainerStatusUnknown:137");
    assert_eq!(world.started, ["a"]);
}

#[test]
fn readiness_gates_are_asked() {
    let mut world = World::new(json!({
        "readinessGates": [{"conditionType": "example.com/lb"}],
        "containers": [{"name": "a", "image": "i"}],
    }));
    world.settle();
    assert_eq!(world.condition("Ready"), "False:ReadinessGatesNotReady");
    assert_eq!(world.condition("ContainersReady"), "True");
    world.pod.status =
        serde_json::from_value(json!({"conditions": [{"type": "example.com/lb", "status": "True"}]})).unwrap();
    world.settle();
    assert_eq!(world.condition("Ready"), "True");
    assert_eq!(world.condition("example.com/lb"), "True");
}

#[test]
fn the_time_to_look_again() {
    let seconds = |world: &World, at: Option<Timestamp>| at.map(|at| at.duration_since(world.now).as_secs());
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    let wake = world.settle();
    assert_eq!(seconds(&world, wake), None);
    world.exit("a", 1);
    world.settle();
    world.exit("a", 1);
    let wake = world.settle();
    assert_eq!(seconds(&world, wake), Some(10));
    let mut world = World::new(json!({"activeDeadlineSeconds": 7, "containers": [{"name": "a", "image": "i"}]}));
    let wake = world.settle();
    assert_eq!(seconds(&world, wake), Some(7));
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.fail_start = Some(FailureKind::ImagePull);
    let wake = world.settle();
    assert_eq!(seconds(&world, wake), Some(2), "when the reason becomes ImagePullBackOff");
}

#[test]
fn a_changed_reference_is_tried_at_once() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    world.fail_start = Some(FailureKind::Config);
    world.settle();
    world.fail_start = None;
    world.settle();
    assert_eq!(world.state("a"), "waiting:CreateContainerConfigError");
    world.memory.references_changed();
    world.settle();
    assert_eq!(world.state("a"), "running");
}

#[test]
fn sandbox_failures_back_off() {
    let mut world = World::new(json!({"containers": [{"name": "a", "image": "i"}]}));
    let mut delays = Vec::new();
    for _ in 0..10 {
        world.memory.sandbox_failed(world.now);
        let decision = world.decide();
        assert!(decision.actions.is_empty());
        let delay = decision.wake_at.unwrap().duration_since(world.now);
        delays.push(delay.as_millis());
        world.now += delay + SignedDuration::from_millis(1);
    }
    assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 64000, 64000]);
}

#[test]
fn an_exit_keeps_the_words_of_the_runtime() {
    let mut world = World::new(json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}));
    world.settle();
    let exit = Exit {
        started_at: None,
        finished_at: world.now,
        exit_code: 127,
        oom_killed: false,
        message: Some("executable file not found".into()),
        reason: Some("StartError".into()),
    };
    world.observed.containers[0].state = minato_podlife::ContainerState::Exited(exit);
    let failure = StartFailure { kind: FailureKind::Run, message: String::new(), at: world.now, attempt: 0 };
    world.memory.start_failed("a", failure);
    world.settle();
    assert_eq!(world.state("a"), "terminated:StartError:127");
    assert_eq!(world.phase(), "Failed");
}
