//! Lists as long as a request may be: judged in the time of one walk, with an answer that somebody can read.

use minato_kinds::{Declaration, FieldError, builtins};
use serde_json::{Value, json};

const LONG: usize = 20_000;

fn declaration(kind: &str) -> &'static Declaration {
    builtins().iter().find(|declaration| &*declaration.kind == kind).unwrap()
}

fn items(item: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..LONG).map(item).collect()
}

fn judged(kind: &str, mut object: Value) -> Vec<FieldError> {
    let declaration = declaration(kind);
    declaration.default(&mut object);
    declaration.warnings(&object, None);
    declaration.validate(&object)
}

/// Looking back at every item for every item would take minutes for each of these in a debug build, and the test with it.
#[test]
fn every_item_is_looked_at_once() {
    let container = json!({"name": "a", "image": "b", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"});
    let pod = |spec: Value| {
        let mut pod = json!({
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"containers": [container.clone()], "restartPolicy": "Always", "dnsPolicy": "Default"},
        });
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        pod
    };
    let with = |field: &str, list: Vec<Value>| {
        let mut container = container.clone();
        container[field] = list.into();
        pod(json!({"containers": [container]}))
    };
    let named = |index: usize| json!({"name": format!("n{index}")});
    let cases = [
        ("Pod", with("env", items(named))),
        ("Pod", with("ports", items(|i| json!({"containerPort": i + 1, "hostPort": i + 1, "protocol": "TCP"})))),
        ("Pod", pod(json!({"schedulingGates": items(named)}))),
        ("Pod", pod(json!({"imagePullSecrets": items(named)}))),
        ("Pod", pod(json!({"hostAliases": items(|i| json!({"ip": format!("10.0.{}.{}", i / 250, i % 250)}))}))),
        (
            "Pod",
            pod(json!({"topologySpreadConstraints": items(|i| json!({
                "maxSkew": 1, "topologyKey": format!("k{i}"), "whenUnsatisfiable": "DoNotSchedule",
            }))})),
        ),
        (
            "Pod",
            pod(json!({"securityContext": {"sysctls": items(|i| json!({"name": format!("a.b{i}"), "value": "1"}))}})),
        ),
        (
            "Service",
            json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"ports": items(|i| json!({
                "name": format!("n{i}"), "port": i + 1, "protocol": "TCP", "targetPort": i + 1,
            }))}}),
        ),
        (
            "Node",
            json!({"metadata": {"name": "a"}, "spec": {
                "taints": items(|i| json!({"key": format!("k{i}"), "effect": "NoSchedule"})),
            }}),
        ),
    ];
    for (kind, object) in cases {
        let errors = judged(kind, object.clone());
        let spec = object["spec"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert!(errors.is_empty(), "{kind} with {spec:?}: {}", errors[0]);
    }
}

#[test]
fn what_is_wrong_with_it_stays_readable() {
    let owner =
        |i: usize| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{i}"), "uid": "1", "controller": true});
    let check = |metadata: Value, first: &str| {
        let mut object = json!({"metadata": {"name": "a", "namespace": "b"}});
        object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let errors = judged("ConfigMap", object);
        assert!(errors[0].to_string().starts_with(first), "{}", errors[0]);
        let last = errors.last().unwrap().to_string();
        assert!(last.ends_with("these further errors are not listed"), "{last}");
        // One of them may show a list as a whole.
        let mut bytes: Vec<usize> = errors.iter().map(|error| error.to_string().len()).collect();
        bytes.sort_unstable();
        bytes.pop();
        assert!(bytes.iter().sum::<usize>() < 512 << 10, "{bytes:?}");
    };
    check(
        json!({"finalizers": (0..LONG).map(|i| format!("-{i}")).collect::<Vec<_>>()}),
        "metadata.finalizers: Invalid",
    );
    check(
        json!({"ownerReferences": items(owner), "labels": {"-": "x"}, "finalizers": vec!["-"; LONG]}),
        "metadata.labels: Invalid value: \"-\"",
    );
}
