//! Jobs and CronJobs: their policies, their progress, what may change.

use serde_json::{Value, json};

use crate::case::{Table, created, edited, kind};

fn table() -> Table {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
    Table {
        kind: "batch/jobs",
        base: json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": {"template": {"spec": pod}}}),
    }
}

const INDEXED: &str = "Indexed";

#[test]
fn specs() {
    let table = table();
    table.create(&[], &[]);
    table.defaults(
        &[("/spec/template/metadata", json!({"labels": {"a": "b"}}))],
        &[
            ("/spec/selector/matchLabels", json!({"batch.kubernetes.io/controller-uid": "u"})),
            ("/spec/template/metadata/labels/job-name", json!("j")),
            ("/metadata/labels", json!({"a": "b"})),
            ("/spec/completions", json!(1)),
            ("/spec/podReplacementPolicy", json!("TerminatingOrFailed")),
        ],
    );
    for (edits, expected) in [
        (
            vec![("/spec/managedBy", json!("me"))],
            vec!["spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
        ),
        (
            vec![("/spec/completionMode", json!("Some"))],
            vec!["spec.completionMode: Unsupported value: \"Some\": supported values: \"NonIndexed\", \"Indexed\""],
        ),
        (
            vec![("/spec/completionMode", json!(INDEXED)), ("/spec/parallelism", json!(100_001))],
            vec![
                "spec.completions: Required value: when completion mode is Indexed",
                "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
            ],
        ),
        (
            vec![("/spec/maxFailedIndexes", json!(1))],
            vec![
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
            ],
        ),
        (
            vec![
                ("/spec/successPolicy", json!({"rules": [{"succeededIndexes": "0-4", "succeededCount": 7}]})),
                ("/spec/completionMode", json!(INDEXED)),
                ("/spec/completions", json!(4)),
            ],
            vec![
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"0-4\": error parsing succeededIndexes: too large index: \"4\"",
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 7: must be less than or equal to 4 (the number of specified completions)",
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 7: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)",
            ],
        ),
        (
            vec![(
                "/spec/podFailurePolicy",
                json!({"rules": [
                {"onExitCodes": {"operator": "In", "containerName": "x", "values": [3, 0, 3]}, "action": "FailIndex"}, {"action": ""}]}),
            )],
            vec![
                "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
                "spec.podFailurePolicy.rules[1].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
                "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        ),
        (
            vec![("/spec/template/metadata", json!({"labels": {"job-name": "other"}}))],
            vec![
                "spec.template.metadata.labels[job-name]: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"u\",\"job-name\":\"other\"}: must be 'j'",
            ],
        ),
    ] {
        table.create(&edits, &expected);
    }
}

#[test]
fn changes() {
    let table = table();
    let image = "/spec/template/spec/containers/0/image";
    let old = created(kind("batch/jobs"), &table.base);
    let change = |status: Value, edits: &[(&str, Value)]| -> usize {
        let kind = kind("batch/jobs");
        let old = edited(&old, &[("/spec/suspend", json!(true)), ("/status", status)]);
        let mut new = edited(&old, edits);
        kind.prepare_for_update(&mut new, &old);
        kind.validate_update(&new, &old).len()
    };
    let stopped = json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]});
    let selector = ("/spec/template/spec/nodeSelector", json!({"a": "b"}));
    let resources = ("/spec/template/spec/containers/0/resources", json!({"limits": {"cpu": "1"}}));
    for (status, edit, errors) in [
        (json!({}), (image, json!("other")), 1),
        (json!({}), selector.clone(), 0),
        (json!({}), resources.clone(), 1),
        (json!({"startTime": "2026-01-01T00:00:00Z"}), selector.clone(), 1),
        (stopped.clone(), selector, 0),
        (stopped, resources, 0),
        (json!({}), ("/spec/completions", json!(2)), 1),
        (json!({}), ("/spec/parallelism", json!(2)), 0),
    ] {
        assert_eq!(change(status, std::slice::from_ref(&edit)), errors, "{edit:?}");
    }
}

#[test]
fn progress() {
    let table = table();
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let start = "2026-01-01T00:00:00Z";
    let kind = kind("batch/jobs");
    let errors = |old_status: Value, status: Value| -> Vec<String> {
        let old = edited(&created(kind, &table.base), &[("/status", old_status)]);
        let mut new = edited(&old, &[("/status", status)]);
        kind.prepare_for_status_update(&mut new, &old);
        kind.validate_status_update(&new, &old).iter().map(ToString::to_string).collect()
    };
    let complete = json!({"startTime": start, "completionTime": start, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]});
    for (old, new, expected) in [
        (json!({}), json!({"active": 1, "startTime": start}), vec![]),
        (json!({"active": 1, "startTime": start}), complete.clone(), vec![]),
        (
            json!({}),
            json!({"conditions": [condition("Complete")], "active": 1}),
            vec![
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.startTime: Required value: startTime is required for finished job",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
            ],
        ),
        (
            complete,
            json!({"startTime": start}),
            vec![
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
                "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            ],
        ),
        (
            json!({}),
            json!({"ready": 1, "completedIndexes": "1", "uncountedTerminatedPods": {"failed": ["", "a"], "succeeded": ["a"]}}),
            vec![
                "status.uncountedTerminatedPods.failed[0]: Invalid value: \"\": must not be empty",
                "status.uncountedTerminatedPods.failed[1]: Duplicate value: \"a\"",
                "status.ready: Invalid value: 1: cannot set more ready pods than active",
                "status.completedIndexes: Invalid value: \"1\": error parsing completedIndexes: too large index: \"1\"",
                "status.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed completion mode",
            ],
        ),
    ] {
        assert_eq!(errors(old.clone(), new.clone()), expected, "{old} {new}");
    }
}
