//! Kinds with few rules.

use minato_kinds::Subresource;
use serde_json::json;

use crate::case::{Table, created, edited, kind, status_errors, update_errors};

#[test]
fn namespaces() {
    let table = Table { kind: "namespaces", base: json!({"metadata": {"name": "team"}}) };
    table.create(&[], &[]);
    table.defaults(
        &[],
        &[
            ("/metadata/labels", json!({"kubernetes.io/metadata.name": "team"})),
            ("/spec/finalizers", json!(["kubernetes"])),
            ("/status/phase", json!("Active")),
        ],
    );
    table
        .create(&[("/metadata/name", json!("a.b"))], &["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
    table.create(&[("/metadata/namespace", json!("x"))], &["metadata.namespace: Forbidden: not allowed on this type"]);
    table.create(
        &[("/spec/finalizers", json!(["mine"]))],
        &["spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"],
    );
    let terminating = edited(&table.base, &[("/status/phase", json!("Terminating"))]);
    assert_eq!(
        status_errors(kind("namespaces"), &table.base, &terminating),
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
    );
    let kind = kind("namespaces");
    let old = created(kind, &table.base);
    let mut finalized = edited(&old, &[("/spec/finalizers", json!([])), ("/status/phase", json!("X"))]);
    kind.prepare_for_subresource_update(Subresource::Finalize, &mut finalized, &old);
    assert_eq!(finalized["spec"]["finalizers"], json!([]));
    assert_eq!(finalized["status"]["phase"], "Active");
    let mut updated = edited(&old, &[("/spec/finalizers", json!([]))]);
    kind.prepare_for_update(&mut updated, &old);
    assert_eq!(updated["spec"]["finalizers"], json!(["kubernetes"]));
}

#[test]
fn config_maps() {
    let table = Table {
        kind: "configmaps",
        base: json!({"metadata": {"name": "c", "namespace": "d"}, "data": {"a.b_c-D": "1"}}),
    };
    table.create(&[], &[]);
    table.create(
        &[("/data/a b", json!("x"))],
        &["data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"],
    );
    table.create(&[("/data/..", json!("x"))], &["data[..]: Invalid value: \"..\": must not be '..'"]);
    table.create(
        &[("/binaryData", json!({"a.b_c-D": "AA=="}))],
        &["data[a.b_c-D]: Invalid value: \"a.b_c-D\": duplicate of key present in binaryData"],
    );
    table.create(&[("/data/big", json!("x".repeat(1 << 20)))], &["[]: Too long: may not be more than 1048576 bytes"]);
    table.update_from(
        &[("/immutable", json!(true))],
        &[("/data/x", json!("y"))],
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    table.update_from(
        &[("/immutable", json!(true))],
        &[("/immutable", json!(null))],
        &["immutable: Forbidden: field is immutable when `immutable` is set"],
    );
}

#[test]
fn secrets() {
    let table =
        Table { kind: "secrets", base: json!({"metadata": {"name": "s", "namespace": "d"}, "stringData": {"k": "v"}}) };
    table.create(&[], &[]);
    table.defaults(
        &[("/data", json!({"k": "b2xk", "other": "AA=="}))],
        &[("/type", json!("Opaque")), ("/data", json!({"k": "dg==", "other": "AA=="})), ("/stringData", json!(null))],
    );
    table.create(
        &[("/type", json!("kubernetes.io/tls"))],
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    );
    table.create(&[("/type", json!("kubernetes.io/dockerconfigjson"))], &["data[.dockerconfigjson]: Required value"]);
    table.create(
        &[("/type", json!("kubernetes.io/service-account-token"))],
        &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    );
    table.update(&[("/type", json!("other"))], &["type: Invalid value: \"other\": field is immutable"]);
}

#[test]
fn nodes() {
    let table = Table {
        kind: "nodes",
        base: json!({"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "2000m", "pods": 110}}}),
    };
    table.create(&[], &[]);
    table.defaults(
        &[("/spec/podCIDR", json!("10.42.0.0/24"))],
        &[("/spec/podCIDRs", json!(["10.42.0.0/24"])), ("/status/allocatable", json!({"cpu": "2", "pods": "110"}))],
    );
    table.create(
        &[("/spec/taints", json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "X"}]))],
        &[
            "metadata.taints[1]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: taints must be unique by key and effect pair",
            "metadata.taints[2].effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    table.create(
        &[("/spec/podCIDRs", json!(["10.42.0.0/33"]))],
        &["spec.podCIDRs[0]: Invalid value: \"10.42.0.0/33\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"],
    );
    table.update_from(
        &[("/spec/podCIDR", json!("10.42.0.0/24"))],
        &[("/spec", json!({"podCIDR": "10.42.1.0/24"}))],
        &["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"],
    );
    table.update(&[("/spec/unschedulable", json!(true))], &[]);
}

#[test]
fn leases() {
    let table = Table {
        kind: "coordination.k8s.io/leases",
        base: json!({"metadata": {"name": "l", "namespace": "d", "resourceVersion": "1"}, "spec": {"leaseDurationSeconds": 40}}),
    };
    table.create(&[], &[]);
    table.create(
        &[("/spec", json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}))],
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    let old = table.base.clone();
    let new = edited(&old, &[("/metadata/resourceVersion", json!(null))]);
    assert_eq!(
        update_errors(kind("coordination.k8s.io/leases"), &old, &new),
        ["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"]
    );
}

#[test]
fn events() {
    let core = Table {
        kind: "events",
        base: json!({"apiVersion": "v1", "metadata": {"name": "e", "namespace": "d"}, "involvedObject": {"namespace": "d"}}),
    };
    core.create(&[], &[]);
    core.create(
        &[("/involvedObject/namespace", json!("x"))],
        &["involvedObject.namespace: Invalid value: \"x\": does not match event.namespace"],
    );
    let new = Table {
        kind: "events.k8s.io/events",
        base: json!({"apiVersion": "events.k8s.io/v1", "metadata": {"name": "e", "namespace": "d"}, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "example.com/c", "reportingInstance": "c-1", "action": "Run", "reason": "Ran", "type": "Normal",
            "regarding": {"namespace": "d"}, "note": "hello"}),
    };
    new.create(&[], &[]);
    new.defaults(
        &[],
        &[("/apiVersion", json!("v1")), ("/message", json!("hello")), ("/reportingComponent", json!("example.com/c"))],
    );
    new.create(
        &[("/reportingController", json!(null)), ("/eventTime", json!(null))],
        &["eventTime: Required value", "reportingController: Required value"],
    );
    new.update(&[("/note", json!("other"))], &["message: Invalid value: \"other\": field is immutable"]);
}

#[test]
fn resource_versions_and_finalizers_of_updates() {
    let table = Table { kind: "configmaps", base: json!({"metadata": {"name": "c", "namespace": "d"}}) };
    table.update_from(
        &[("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z")), ("/metadata/finalizers", json!(["a.b/c"]))],
        &[("/metadata/finalizers", json!(["a.b/c", "a.b/d"]))],
        &["metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a.b/d\"}"],
    );
    table.update(&[("/metadata/uid", json!("x"))], &["metadata.uid: Invalid value: \"x\": field is immutable"]);
}

#[test]
fn limit_ranges_keep_their_ratio_reachable() {
    let table = Table {
        kind: "limitranges",
        base: json!({"metadata": {"name": "l", "namespace": "d"}, "spec": {"limits": [
            {"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "4"}, "maxLimitRequestRatio": {"cpu": "4"}}]}}),
    };
    table.create(&[], &[]);
    table.create(
        &[("/spec/limits/0/maxLimitRequestRatio/cpu", json!("5"))],
        &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"5\": ratio 5 is greater than max/min = 4.000000"],
    );
}
