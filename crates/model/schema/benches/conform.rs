//! What a body of 3 KB costs: parsing it, and checking it against the schema of its kind.

use minato_schema::{builtin, conform, parse_json};
use serde_json::{Value, json};
use std::{hint::black_box, time::Instant};

const ROUNDS: u32 = 20_000;

fn pod() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/team/application:1.2.3", "imagePullPolicy": "IfNotPresent",
            "args": ["--listen=0.0.0.0:8080", "--verbose"],
            "env": [{"name": "MODE", "value": "production"},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": true}],
            "securityContext": {"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-5d4f8c7b9-abcde", "namespace": "default", "uid": "2b4f3f7e-7d3c-4a53-8d4e-3c1f6a1f2b10",
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9",
                "uid": "b0a2f1d0-7d3c-4a53-8d4e-3c1f6a1f2b10", "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"containers": [container("app"), container("sidecar")], "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30, "nodeName": "node-1",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [{"name": "config", "configMap": {"name": "web", "defaultMode": 420}}]},
        "status": {"phase": "Running", "podIP": "10.42.0.17", "startTime": "2026-01-02T03:04:06Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:09Z"}]},
    })
}

fn main() {
    let started = Instant::now();
    let schema = builtin("", "v1", "Pod");
    println!("compile the schema of Pod      {:>10.1} µs, once", started.elapsed().as_secs_f64() * 1e6);
    let Some(schema) = schema else { return };
    let body = pod();
    let bytes = body.to_string().into_bytes();
    println!("a Pod of {} bytes", bytes.len());

    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(parse_json(black_box(&bytes)).is_ok());
    }
    println!("parse_json                     {:>10.2} µs", started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));

    let mut object = body;
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(conform(schema, black_box(&mut object)).is_ok());
    }
    println!("conform                        {:>10.2} µs", started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}
