//! What defaulting and validation cost: `cargo bench -p minato-kinds`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use minato_kinds::{Declaration, by_resource};
use serde_json::{Value, json};

const ROUNDS: u32 = 20_000;

fn main() {
    let container = json!({
        "name": "web", "image": "registry.example.com/team/web:1.4.2",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "A", "value": "1"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}, {"name": "token", "mountPath": "/var/run/secrets", "readOnly": true}],
        "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let spec = json!({
        "serviceAccountName": "web",
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": "web"}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
    });
    let metadata = json!({"name": "web-7d4b9c6f5-x2x7k", "namespace": "default", "labels": {"app": "web", "pod-template-hash": "7d4b9c6f5"}});
    let small = json!({"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}});
    let labels = json!({"app": "web"});
    let deployment = json!({"metadata": metadata, "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}}});
    measure("", "pods", "small pod", &small);
    measure("", "pods", "ordinary pod", &json!({"metadata": metadata, "spec": spec}));
    measure("apps", "deployments", "deployment", &deployment);
    measure("", "configmaps", "config map", &json!({"metadata": metadata, "data": {"a": "b"}}));
    measure("", "services", "service", &json!({"metadata": metadata, "spec": {"ports": [{"port": 80}]}}));
}

fn measure(group: &str, resource: &str, name: &str, object: &Value) {
    let Some(kind) = by_resource(group, resource) else { return };
    let mut objects: Vec<Value> = (0..ROUNDS).map(|_| object.clone()).collect();
    let default = time(|index| kind.default(&mut objects[index]));
    let create = time(|index| kind.prepare_for_create(&mut objects[index], jiff::Timestamp::UNIX_EPOCH));
    let validate = time(|index| check(kind, &objects[index]));
    println!(
        "{name:>14}: default {default:?}, prepare {create:?}, validate {validate:?}, together {:?}",
        default + create + validate
    );
}

fn check(kind: &Declaration, object: &Value) {
    let errors = black_box(kind.validate(object));
    assert!(errors.is_empty(), "{errors:?}");
}

fn time(mut work: impl FnMut(usize)) -> Duration {
    let start = Instant::now();
    for index in 0..ROUNDS as usize {
        work(index);
    }
    start.elapsed() / ROUNDS
}
