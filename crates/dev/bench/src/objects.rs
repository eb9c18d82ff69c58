//! The objects that are created.

use serde_json::{Value, json};

/// A scheduler that does not exist: pods that name it stay pending and start no container.
pub(crate) const NO_SCHEDULER: &str = "minato-bench-none";
/// Marks everything that is not in a namespace of ours; its value is the run's id.
pub(crate) const LABEL: &str = "minato-bench";

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn config_map(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
}

fn pod_spec(scheduler: &str) -> Value {
    json!({
        "schedulerName": scheduler,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "main",
            "image": "registry.example/none:1",
            "env": [{"name": "GREETING", "value": "hello"}],
            "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        }],
    })
}

/// A pod that is only stored.
pub(crate) fn pending_pod(name: &str) -> Value {
    let metadata = json!({"name": name, "labels": {"app": "bench"}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(NO_SCHEDULER)})
}

/// A pod that the real scheduler places on one of our nodes, where nobody runs it.
pub(crate) fn schedulable_pod(name: &str, id: &str) -> Value {
    let mut spec = pod_spec("default-scheduler");
    spec["nodeSelector"] = json!({LABEL: id});
    spec["tolerations"] = json!([{"operator": "Exists"}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// A pod that really runs.
pub(crate) fn running_pod(name: &str, image: &str) -> Value {
    let container = json!({"name": "main", "image": image, "imagePullPolicy": "IfNotPresent"});
    let spec = json!({"terminationGracePeriodSeconds": 0, "containers": [container]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// A deployment of pods that are only stored.
pub(crate) fn deployment(name: &str, replicas: usize) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(NO_SCHEDULER)},
        },
    })
}

/// A node of ours, with a taint that keeps everybody else's pods away.
pub(crate) fn node(name: &str, id: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: id, "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": LABEL, "value": id, "effect": "NoSchedule"}]},
        "status": node_status(),
    })
}

/// The status of a healthy node, with room for many pods.
pub(crate) fn node_status() -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let room = json!({"cpu": "32", "memory": "256Gi", "pods": "110"});
    json!({
        "capacity": room, "allocatable": room,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "of minato-bench",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    })
}

/// The lease that says a node lives.
pub(crate) fn lease(name: &str, id: &str) -> Value {
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_time()});
    let metadata = json!({"name": name, "labels": {LABEL: id}});
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
}

/// What renews a lease.
pub(crate) fn lease_renewal() -> Value {
    json!({"spec": {"renewTime": micro_time()}})
}

fn micro_time() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

pub(crate) fn webhook_name(id: &str) -> String {
    format!("minato-bench-{id}")
}

/// A mutating webhook for the ConfigMaps of one namespace.
pub(crate) fn webhook(id: &str, namespace: &str, client_config: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": webhook_name(id), "labels": {LABEL: id}},
        "webhooks": [{
            "name": "bench.minato.example", "clientConfig": client_config, "admissionReviewVersions": ["v1"],
            "sideEffects": "None", "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        }],
    })
}

/// The API group of a run's custom kinds.
pub(crate) fn group(id: &str) -> String {
    format!("b{id}.bench.minato.example")
}

pub(crate) fn plural(number: usize) -> String {
    format!("things{number}")
}

pub(crate) fn definition_name(id: &str, number: usize) -> String {
    format!("{}.{}", plural(number), group(id))
}

/// A custom kind of the group of `id`, with a small schema.
pub(crate) fn definition(label: &str, id: &str, number: usize) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "text": {"type": "string", "maxLength": 10_000}, "replicas": {"type": "integer", "default": 1},
            }},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": definition_name(id, number), "labels": {LABEL: label}},
        "spec": {
            "group": group(id), "scope": "Namespaced",
            "names": {"plural": plural(number), "kind": format!("Thing{number}")},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}}],
        },
    })
}

/// An object of the first custom kind.
pub(crate) fn custom(group: &str, name: &str, text: &str) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": "Thing0", "metadata": {"name": name}, "spec": {"text": text}})
}
