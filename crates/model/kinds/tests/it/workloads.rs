//! Controllers that make pods.

use serde_json::{Value, json};

use crate::case::{Table, created, edited, kind, status_errors};

fn table(kind: &'static str) -> Table {
    Table {
        kind,
        base: json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
            },
        }),
    }
}

const RUNNING: [&str; 4] = ["apps/deployments", "apps/replicasets", "apps/statefulsets", "apps/daemonsets"];

#[test]
fn defaults() {
    table("apps/deployments").defaults(
        &[],
        &[
            ("/spec/replicas", json!(1)),
            (
                "/spec/strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            ),
            ("/spec/revisionHistoryLimit", json!(10)),
            ("/spec/progressDeadlineSeconds", json!(600)),
            ("/spec/template/spec/restartPolicy", json!("Always")),
            ("/spec/template/spec/enableServiceLinks", json!(null)),
            ("/spec/template/spec/containers/0/imagePullPolicy", json!("Always")),
            ("/metadata/generation", json!(1)),
            ("/status", json!({})),
        ],
    );
    table("apps/deployments").defaults(
        &[("/spec/strategy", json!({"type": "Recreate"}))],
        &[("/spec/strategy", json!({"type": "Recreate"}))],
    );
    // Templates do not take requests from limits: their pods do.
    table("apps/deployments").defaults(
        &[("/spec/template/spec/containers/0/resources", json!({"limits": {"cpu": "1000m"}}))],
        &[("/spec/template/spec/containers/0/resources", json!({"limits": {"cpu": "1"}}))],
    );
    table("apps/statefulsets").defaults(
        &[(
            "/spec/volumeClaimTemplates",
            json!([{"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": "1024Mi"}}}}]),
        )],
        &[
            ("/spec/podManagementPolicy", json!("OrderedReady")),
            ("/spec/updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})),
            ("/spec/persistentVolumeClaimRetentionPolicy", json!({"whenDeleted": "Retain", "whenScaled": "Retain"})),
            (
                "/spec/volumeClaimTemplates/0/spec",
                json!({"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}}),
            ),
            ("/spec/volumeClaimTemplates/0/status/phase", json!("Pending")),
        ],
    );
    table("apps/daemonsets").defaults(
        &[],
        &[(
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        )],
    );
    table("apps/replicasets").defaults(&[], &[("/spec/replicas", json!(1)), ("/status", json!({"replicas": 0}))]);
}

#[test]
fn selectors_and_templates() {
    for kind in RUNNING {
        let table = table(kind);
        table.create(&[], &[]);
        let base =
            |edits: &[(&str, Value)]| crate::case::create_errors(crate::case::kind(kind), &edited(&table.base, edits));
        let mismatch = base(&[("/spec/template/metadata/labels", json!({"app": "other"}))]);
        assert_eq!(
            mismatch,
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
            ],
            "{kind}"
        );
        let absent = base(&[("/spec/selector", json!(null))]);
        let expected = [
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
        ];
        // The reference forgets to ask a DaemonSet for its selector.
        assert_eq!(absent, if kind == "apps/daemonsets" { &expected[1..] } else { &expected[..] }, "{kind}");
        let once = base(&[("/spec/template/spec/restartPolicy", json!("Never"))]);
        assert_eq!(
            once,
            ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
            "{kind}"
        );
        table.update(&[("/metadata/labels", json!({"a": "b"}))], &[]);
        if kind != "apps/statefulsets" {
            let empty = base(&[("/spec/template/spec/containers", json!([]))]);
            assert_eq!(empty, ["spec.template.spec.containers: Required value"], "{kind}");
            table.update(
                &[
                    ("/spec/selector", json!({"matchLabels": {"app": "x"}})),
                    ("/spec/template/metadata/labels", json!({"app": "x"})),
                ],
                &["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: field is immutable"],
            );
        }
    }
    table("apps/deployments").create(
        &[("/spec/selector", json!({}))],
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    table("apps/deployments").create(
        &[("/spec/selector", json!({"matchExpressions": [{"key": "app", "operator": "Near"}]}))],
        &[
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator",
            "spec.selector: Invalid value: {\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Near\"}]}: invalid label selector",
        ],
    );
    table("apps/statefulsets").update(
        &[("/spec/serviceName", json!("x"))],
        &["spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"],
    );
}

#[test]
fn deployments() {
    let table = table("apps/deployments");
    for (edits, errors) in [
        (
            vec![("/spec/replicas", json!(-1))],
            vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/minReadySeconds", json!(600))],
            vec!["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        (
            vec![("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {}}))],
            vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (
            vec![("/spec/strategy", json!({"type": "Blue"}))],
            vec![
                "spec.strategy: Unsupported value: {\"type\":\"Blue\"}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            vec![("/spec/strategy", json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}))],
            vec!["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            vec![("/spec/strategy", json!({"rollingUpdate": {"maxUnavailable": "101%"}}))],
            vec!["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"],
        ),
        (
            vec![("/spec/strategy", json!({"rollingUpdate": {"maxSurge": "some"}}))],
            vec![
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"some\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ],
        ),
    ] {
        table.create(&edits, &errors);
    }
    let scaled = edited(&table.base, &[("/status", json!({"replicas": 1, "readyReplicas": 2}))]);
    assert_eq!(
        status_errors(kind("apps/deployments"), &table.base, &scaled),
        ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
    );
}

#[test]
fn generations() {
    let kind = kind("apps/deployments");
    let old = created(kind, &table("apps/deployments").base);
    for (edits, generation) in [
        (vec![("/spec/replicas", json!(2))], 2),
        (vec![("/metadata/annotations", json!({"a": "b"}))], 2),
        (vec![("/metadata/labels", json!({"a": "b"}))], 1),
        (vec![("/status", json!({"replicas": 9}))], 1),
        (vec![("/metadata/generation", json!(7))], 1),
        // What a Go client leaves out when it writes the object back.
        (vec![("/spec/template/spec/securityContext", json!(null))], 1),
    ] {
        let mut new = edited(&old, &edits);
        kind.default(&mut new);
        kind.prepare_for_update(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], generation, "{edits:?}");
        assert_eq!(new["status"], old["status"]);
    }
}

fn jobs() -> Table {
    Table {
        kind: "batch/jobs",
        base: json!({
            "metadata": {"name": "pi", "namespace": "default", "uid": "u1"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}},
        }),
    }
}

#[test]
fn job_rules() {
    let jobs = jobs();
    jobs.create(&[], &[]);
    jobs.defaults(
        &[],
        &[
            ("/spec/completions", json!(1)),
            ("/spec/parallelism", json!(1)),
            ("/spec/backoffLimit", json!(6)),
            ("/spec/completionMode", json!("NonIndexed")),
            ("/spec/suspend", json!(false)),
            ("/spec/podReplacementPolicy", json!("TerminatingOrFailed")),
            ("/spec/selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}})),
            ("/spec/template/metadata/labels/job-name", json!("pi")),
            ("/spec/template/metadata/labels/batch.kubernetes.io~1job-name", json!("pi")),
        ],
    );
    jobs.defaults(&[("/spec/parallelism", json!(3))], &[("/spec/completions", json!(null))]);
    jobs.create(
        &[("/spec/template/spec/restartPolicy", json!(null))],
        &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    jobs.create(
        &[("/spec/completionMode", json!("Indexed")), ("/spec/parallelism", json!(2))],
        &["spec.completions: Required value: when completion mode is Indexed"],
    );
    jobs.create(
        &[("/spec/backoffLimit", json!(-1))],
        &["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"],
    );
    jobs.create(
        &[("/spec/manualSelector", json!(true))],
        &[
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: \"null\": `selector` does not match template `labels`",
        ],
    );
    let kind = kind("batch/jobs");
    let old = created(kind, &jobs.base);
    let mut new = edited(&old, &[("/spec/template/spec/containers/0/image", json!("y"))]);
    kind.prepare_for_update(&mut new, &old);
    let errors = kind.validate_update(&new, &old);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().starts_with("spec.template: Invalid value: {"));
    assert!(errors[0].to_string().ends_with(": field is immutable"));
    let mut scaled = edited(&old, &[("/spec/parallelism", json!(4))]);
    kind.prepare_for_update(&mut scaled, &old);
    assert_eq!(kind.validate_update(&scaled, &old), []);
}

#[test]
fn cron_jobs() {
    let table = Table {
        kind: "batch/cronjobs",
        base: json!({
            "metadata": {"name": "tick", "namespace": "default"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}},
        }),
    };
    table.create(&[], &[]);
    table.defaults(
        &[],
        &[
            ("/spec/concurrencyPolicy", json!("Allow")),
            ("/spec/successfulJobsHistoryLimit", json!(3)),
            ("/spec/failedJobsHistoryLimit", json!(1)),
            ("/spec/jobTemplate/spec/template/spec/dnsPolicy", json!("ClusterFirst")),
        ],
    );
    table.create(&[("/spec/schedule", json!(""))], &["spec.schedule: Required value"]);
    table.create(
        &[("/spec/schedule", json!("often"))],
        &["spec.schedule: Invalid value: \"often\": expected exactly 5 fields, found 1: [often]"],
    );
    table.create(
        &[("/spec/concurrencyPolicy", json!("X"))],
        &["spec.concurrencyPolicy: Unsupported value: \"X\": supported values: \"Allow\", \"Forbid\", \"Replace\""],
    );
    table.create(
        &[("/metadata/name", json!("a".repeat(53)))],
        &[&format!("metadata.name: Invalid value: \"{}\": must be no more than 52 characters", "a".repeat(53))],
    );
    table.create(&[("/spec/timeZone", json!("Asia/Tokyo"))], &[]);
    table.create(
        &[("/spec/timeZone", json!("Local"))],
        &["spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"],
    );
}

#[test]
fn replication_controllers() {
    let table = Table {
        kind: "replicationcontrollers",
        base: json!({
            "metadata": {"name": "old", "namespace": "default"},
            "spec": {"template": {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}},
        }),
    };
    table.create(&[], &[]);
    table.defaults(&[], &[("/spec/selector", json!({"app": "old"})), ("/metadata/labels", json!({"app": "old"}))]);
    table.create(
        &[("/spec/selector", json!({"app": "new"}))],
        &["spec.template.metadata.labels: Invalid value: {\"app\":\"old\"}: `selector` does not match template `labels`"],
    );
}
