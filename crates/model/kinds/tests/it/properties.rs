//! What holds for every kind and every value.

use minato_kinds::{Declaration, builtins};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names that the rules look at, so that arbitrary objects get past the first check.
const NAMES: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "template",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "selector",
    "matchLabels",
    "matchExpressions",
    "ports",
    "port",
    "protocol",
    "targetPort",
    "type",
    "resources",
    "limits",
    "requests",
    "cpu",
    "memory",
    "env",
    "valueFrom",
    "fieldRef",
    "image",
    "rules",
    "http",
    "paths",
    "backend",
    "service",
    "webhooks",
    "versions",
    "strategy",
    "rollingUpdate",
    "maxUnavailable",
    "maxSurge",
    "replicas",
    "metrics",
    "behavior",
    "addresses",
    "endpoints",
    "subsets",
    "ip",
    "clusterIPs",
    "tolerations",
    "affinity",
    "securityContext",
    "jobTemplate",
    "schedule",
    "conditions",
    "taints",
    "capacity",
    "podCIDRs",
    "data",
    "stringData",
    "limits",
    "hard",
    "default",
    "min",
    "max",
    "apiVersion",
    "kind",
    "values",
    "operator",
    "key",
];

pub(crate) fn arbitrary_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..70_000).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z0-9.:/%-]{0,12}".prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        proptest::sample::select(vec![
            "Always",
            "None",
            "ClientIP",
            "NodePort",
            "LoadBalancer",
            "In",
            "RollingUpdate",
            "10.0.0.1",
            "25%",
            "1Gi"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 6, |inner| {
        let name = prop_oneof![6 => proptest::sample::select(NAMES).prop_map(str::to_owned), 1 => "[a-z]{0,4}".prop_map(String::from)];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name, inner, 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

pub(crate) fn live_through(kind: &Declaration, first: &Value, second: &Value) {
    let mut object = first.clone();
    kind.to_storage(&mut object);
    kind.default(&mut object);
    let once = object.clone();
    kind.default(&mut object);
    assert_eq!(object, once, "defaults of {kind:?} are idempotent");
    kind.prepare_for_create(&mut object, crate::case::now());
    let errors = kind.validate(&object);
    for error in &errors {
        assert!(!error.to_string().is_empty() && !error.reason().is_empty());
    }
    kind.selectable_values(&object);
    kind.strategy.default_grace_period(&object);

    let mut new = second.clone();
    kind.default(&mut new);
    let mut updated = new.clone();
    kind.prepare_for_update(&mut updated, &object);
    kind.validate_update(&updated, &object);
    let mut status = new.clone();
    kind.prepare_for_status_update(&mut status, &object);
    kind.validate_status_update(&status, &object);
    for subresource in kind.subresources {
        let mut part = new.clone();
        kind.prepare_for_subresource_update(*subresource, &mut part, &object);
        kind.validate_subresource_update(*subresource, &part, &object);
    }
    for version in kind.versions.iter() {
        kind.to_version(&mut object, &kind.api_version(version));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_panics(first in arbitrary_value(), second in arbitrary_value()) {
        for kind in builtins() {
            live_through(kind, &first, &second);
            let wrapped = |value: &Value| json!({"metadata": {"name": "a", "namespace": "b"}, "spec": value, "status": value});
            live_through(kind, &wrapped(&first), &wrapped(&second));
            let templated = |value: &Value| json!({"spec": {"template": {"spec": value}, "containers": [value], "ports": [value]}, "webhooks": [value], "rules": [value]});
            live_through(kind, &templated(&first), &templated(&second));
        }
    }
}

#[test]
fn an_update_that_changes_nothing_is_valid_and_counts_no_generation() {
    for (kind, object) in crate::more::valid() {
        let kind = crate::case::kind(kind);
        let mut old = crate::case::created(kind, &object);
        old["metadata"]["resourceVersion"] = json!("1");
        let errors: Vec<String> = kind.validate(&old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new(), "{kind:?}");
        let mut new = old.clone();
        kind.default(&mut new);
        kind.prepare_for_update(&mut new, &old);
        assert_eq!(new, old, "{kind:?}");
        let errors: Vec<String> = kind.validate_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, Vec::<String>::new(), "{kind:?}");
    }
}
