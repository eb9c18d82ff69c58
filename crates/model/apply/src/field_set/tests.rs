//! Sets of fields of real objects.

use super::FieldSet;
use crate::{path::PathElement, topology::Topology};
use minato_schema::builtin;
use proptest::prelude::*;
use serde_json::{Value, json};

fn of_pod(value: &Value) -> FieldSet {
    FieldSet::of(builtin("", "v1", "Pod").map(|schema| schema as &dyn Topology), value)
}

#[test]
fn values_divide_as_their_schema_says() {
    let pod = json!({
        "metadata": {"labels": {"app": "a"}, "finalizers": ["x"], "ownerReferences": [{"uid": "1", "name": "o"}]},
        "spec": {
            "containers": [{"name": "c", "args": ["1"], "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}],
            "nodeSelector": {"a": "b"}, "securityContext": {}, "tolerations": [{"key": "k"}]},
    });
    let expected = json!({
        "f:metadata": {
            "f:labels": {"f:app": {}},
            "f:finalizers": {"v:\"x\"": {}},
            "f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}},
        "f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                "f:resources": {"f:limits": {"f:cpu": {}}}}},
            "f:nodeSelector": {}, "f:securityContext": {}, "f:tolerations": {}},
    });
    assert_eq!(of_pod(&pod).to_fields_v1(), expected);
}

#[test]
fn malformed_fields_are_refused() {
    for fields in
        [json!(1), json!({"x": {}}), json!({"f:a": 1}), json!({"k:{": {}}), json!({"k:1": {}}), json!({"i:x": {}})]
    {
        assert_eq!(FieldSet::from_fields_v1(&fields), None, "{fields}");
    }
}

#[test]
fn keys_are_one_whatever_their_spelling() {
    let spelled = |key: &str| PathElement::parse(key).map(|element| element.as_str().to_owned());
    assert_eq!(
        spelled(r#"k:{ "protocol":"TCP", "containerPort": 80 }"#),
        spelled(r#"k:{"containerPort":80,"protocol":"TCP"}"#)
    );
}

#[test]
fn paths_read_as_upstream_writes_them() {
    let pod = json!({
        "metadata": {"finalizers": ["x"], "labels": {"a/b": "c"}},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
    });
    let paths: Vec<String> = of_pod(&pod).paths().iter().map(ToString::to_string).collect();
    let expected = [
        ".metadata.finalizers[=\"x\"]",
        ".metadata.labels.a/b",
        ".spec.containers[name=\"c\"]",
        ".spec.containers[name=\"c\"].image",
        ".spec.containers[name=\"c\"].name",
        ".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"]",
        ".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
    ];
    assert_eq!(paths, expected);
}

fn set() -> impl Strategy<Value = FieldSet> {
    let path = prop::collection::vec("[a-c]", 1..4);
    prop::collection::vec(path, 0..8).prop_map(|paths| {
        let mut set = FieldSet::default();
        for path in paths {
            let path: Vec<PathElement> = path.iter().map(|name| PathElement::field(name)).collect();
            set.insert(&path);
        }
        set
    })
}

proptest! {
    #[test]
    fn fields_v1_reads_back(set in set()) {
        let read = FieldSet::from_fields_v1(&set.to_fields_v1()).expect("well-formed");
        prop_assert_eq!(read.paths(), set.paths());
    }

    #[test]
    fn sets_are_sets(a in set(), b in set()) {
        use std::collections::BTreeSet;
        let paths = |set: &FieldSet| set.paths().into_iter().collect::<BTreeSet<_>>();
        let (x, y) = (paths(&a), paths(&b));
        prop_assert_eq!(paths(&a.union(&b)), &x | &y);
        prop_assert_eq!(paths(&a.intersection(&b)), &x & &y);
        prop_assert_eq!(paths(&a.difference(&b)), &x - &y);
        prop_assert_eq!(a.is_empty(), x.is_empty());
    }

    #[test]
    fn no_text_panics(text in ".{0,20}") {
        let _ = PathElement::parse(&text).map(|element| element.to_string());
    }
}
