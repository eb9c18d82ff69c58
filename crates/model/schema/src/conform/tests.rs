//! Bodies and what becomes of them.

use super::conform;
use crate::builtin;
use serde_json::{Value, json};

fn run(kind: (&str, &str, &str), mut object: Value) -> Result<(Value, Vec<String>), String> {
    let schema = builtin(kind.0, kind.1, kind.2).expect("a built-in kind");
    match conform(schema, &mut object) {
        Ok(conformed) => Ok((object, conformed.unknown_fields)),
        Err(mismatch) => Err(mismatch.to_string()),
    }
}

const POD: (&str, &str, &str) = ("", "v1", "Pod");
const SECRET: (&str, &str, &str) = ("", "v1", "Secret");
const CONFIG_MAP: (&str, &str, &str) = ("", "v1", "ConfigMap");
const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");
const LEASE: (&str, &str, &str) = ("coordination.k8s.io", "v1", "Lease");
const CRD: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition");

#[test]
fn wrong_types_are_told_as_go_tells_them() {
    let cases = [
        (DEPLOYMENT, json!([]), "json: cannot unmarshal array into Go value of type v1.Deployment"),
        (
            DEPLOYMENT,
            json!({"spec": {"replicas": "three"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"replicas": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"replicas": 3_000_000_000_u64}}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"template": {"spec": {"containers": [{"image": 5}]}}}}),
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string",
        ),
        (
            POD,
            json!({"spec": {"containers": {"name": "a"}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            POD,
            json!({"spec": {"containers": ["a"]}}),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            POD,
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            POD,
            json!({"metadata": {"labels": "a"}}),
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            POD,
            json!({"metadata": {"creationTimestamp": 5}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            POD,
            json!({"metadata": {"creationTimestamp": "yesterday"}}),
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
        ),
        (
            POD,
            json!({"metadata": {"creationTimestamp": "2024-01-02"}}),
            r#"parsing time "2024-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
        ),
        (
            POD,
            json!({"metadata": {"creationTimestamp": "2024-13-02T00:00:00Z"}}),
            r#"parsing time "2024-13-02T00:00:00Z": month out of range"#,
        ),
        (
            POD,
            json!({"spec": {"hostNetwork": "true"}}),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"resources": {"limits": ["cpu"]}}]}}),
            "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}),
            r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": true}}}]}}),
            "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32",
        ),
        (SECRET, json!({"data": {"a": "!"}}), "illegal base64 data at input byte 0"),
        (SECRET, json!({"data": {"a": "YWJj="}}), "illegal base64 data at input byte 4"),
        (SECRET, json!({"data": {"a": "YWJ"}}), "illegal base64 data at input byte 0"),
        (SECRET, json!({"data": {"a": "YW="}}), "illegal base64 data at input byte 3"),
        (SECRET, json!({"data": {"a": "YW=j"}}), "illegal base64 data at input byte 2"),
        (SECRET, json!({"data": {"a": "YWI=x"}}), "illegal base64 data at input byte 4"),
        (
            SECRET,
            json!({"data": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (
            CRD,
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"additionalProperties": "x"}}}]}}),
            "boolean or JSON schema expected",
        ),
    ];
    for (kind, object, words) in cases {
        assert_eq!(run(kind, object.clone()), Err(words.to_owned()), "{object}");
    }
}

#[test]
fn what_fits_is_brought_into_the_api_form() {
    let cases = [
        // nulls: absent in structs, the zero value in maps and lists
        (
            POD,
            json!({"metadata": {"creationTimestamp": null, "name": "a"}, "spec": null}),
            json!({"metadata": {"name": "a"}}),
        ),
        (CONFIG_MAP, json!({"data": {"a": null, "b": "c"}}), json!({"data": {"a": "", "b": "c"}})),
        (POD, json!({"metadata": {"finalizers": [null]}}), json!({"metadata": {"finalizers": [""]}})),
        (POD, json!({"spec": {"containers": [null]}}), json!({"spec": {"containers": [{}]}})),
        // quantities
        (
            POD,
            json!({"spec": {"overhead": {"cpu": 1, "memory": 0.5, "x": null}}}),
            json!({"spec": {"overhead": {"cpu": "1", "memory": "0.5", "x": "0"}}}),
        ),
        // times
        (
            POD,
            json!({"metadata": {"creationTimestamp": "2024-01-01T00:30:00.999+02:00"}}),
            json!({"metadata": {"creationTimestamp": "2023-12-31T22:30:00Z"}}),
        ),
        (
            LEASE,
            json!({"spec": {"renewTime": "2024-01-01T00:00:00.000001Z", "acquireTime": "2024-01-01T00:00:00Z"}}),
            json!({"spec": {"renewTime": "2024-01-01T00:00:00.000001Z", "acquireTime": "2024-01-01T00:00:00.000000Z"}}),
        ),
        (
            LEASE,
            json!({"spec": {"renewTime": "2024-01-01T00:00:00.1234567+00:00"}}),
            json!({"spec": {"renewTime": "2024-01-01T00:00:00.123456Z"}}),
        ),
        // base64
        (
            SECRET,
            json!({"data": {"a": "YW\nJj", "b": "YWI=", "c": ""}}),
            json!({"data": {"a": "YWJj", "b": "YWI=", "c": ""}}),
        ),
        (SECRET, json!({"data": {"a": "YWJ=\n", "b": "YX=="}}), json!({"data": {"a": "YWI=", "b": "YQ=="}})),
        // any JSON stays as it is
        (
            CRD,
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {
                "default": {"a": null}, "enum": [null, 1], "additionalProperties": false,
                "items": {"type": "string", "nope": 1}}}}]}}),
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {
                "default": {"a": null}, "enum": [null, 1], "additionalProperties": false,
                "items": {"type": "string"}}}}]}}),
        ),
    ];
    for (kind, object, expected) in cases {
        assert_eq!(run(kind, object.clone()).map(|(object, _)| object), Ok(expected), "{object}");
    }
}

#[test]
fn unknown_fields_are_named_and_dropped() {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "Metadata": {}, "metadata": {"name": "a", "labels": {"free": "key"}},
        "spec": {"foo": 1, "containers": [{"name": "a"}, {"name": "b", "bar": {"x": 1}}]},
    });
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"free": "key"}},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    });
    let unknown = ["Metadata", "spec.containers[1].bar", "spec.foo"].map(str::to_owned).to_vec();
    assert_eq!(run(POD, object), Ok((expected, unknown)));
}

#[test]
fn at_most_a_hundred_unknown_fields_are_named() {
    let object: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("x{n}"), json!(n))).collect();
    let (object, unknown) = run(POD, Value::Object(object)).expect("unknown fields are no mismatch");
    assert_eq!((object, unknown.len()), (json!({}), 100));
}

/// Every value of any kind, with any leaf replaced by any other, is either refused or conforms once and for all.
mod any_value {
    use super::*;
    use proptest::prelude::*;

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[A-Za-z0-9+/=\n]{0,12}".prop_map(Value::from),
            "[0-9T:.Z+-]{0,26}".prop_map(Value::from),
            "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|[+-][0-9]{2}:[0-9]{2})"
                .prop_map(Value::from),
            "[0-9.]{0,5}[numkKMGTPEi]{0,2}".prop_map(Value::from),
        ]
    }

    fn body() -> impl Strategy<Value = Value> {
        let name = prop_oneof![
            Just("metadata"),
            Just("spec"),
            Just("data"),
            Just("creationTimestamp"),
            Just("containers"),
            Just("renewTime"),
            Just("labels"),
            Just("managedFields"),
            Just("replicas"),
            Just("template"),
            Just("resources"),
            Just("limits"),
            Just("ports"),
            Just("x"),
            Just("name"),
            Just("overhead"),
        ];
        leaf().prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn conforms_idempotently(body in body(), kind in prop::sample::select(vec![POD, SECRET, LEASE, DEPLOYMENT])) {
            if let Ok((once, _)) = run(kind, body) {
                prop_assert_eq!(run(kind, once.clone()), Ok((once, vec![])));
            }
        }
    }
}

#[test]
fn empty_lists_and_maps_are_absent_where_go_omits_them() {
    let schema = crate::builtin("", "v1", "Pod").expect("a built-in kind");
    let given = serde_json::json!({
        "metadata": {"name": "a", "labels": {}, "ownerReferences": [], "annotations": {"x": ""}},
        "spec": {"containers": [{"name": "c", "args": [], "env": [], "resources": {}}], "nodeSelector": {},
            "volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {}},
    });
    let mut object = given.clone();
    conform(schema, &mut object).expect("it fits");
    let expected = serde_json::json!({
        "metadata": {"name": "a", "annotations": {"x": ""}},
        "spec": {"containers": [{"name": "c", "resources": {}}], "volumes": [{"name": "v", "emptyDir": {}}],
            "securityContext": {}},
    });
    assert_eq!(object, expected);
    let mut object = given.clone();
    crate::conform_configuration(schema, &mut object).expect("it fits");
    assert_eq!(object, given);
    let mut none = serde_json::json!({"spec": {"containers": []}});
    conform(schema, &mut none).expect("it fits");
    assert_eq!(none, serde_json::json!({"spec": {"containers": []}}));
}
