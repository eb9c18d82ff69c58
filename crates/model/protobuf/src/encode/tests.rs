//! Samples of every kind, there and back.

use super::{EncodeError, encode};
use crate::{DecodeError, decode};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn samples_encode_to_what_they_were() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/spec/roundtrip");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is absent", folder.display());
        return;
    };
    let (mut checked, mut exact) = (0, 0);
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".pb") || name.contains("after_roundtrip") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a sample");
        let object = match decode(&bytes) {
            Err(DecodeError::UnknownKind { .. }) => continue,
            other => other.expect("a sample decodes"),
        };
        let encoded = encode(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decode(&encoded).as_ref(), Ok(&object), "{name}");
        checked += 1;
        exact += usize::from(encoded == bytes);
    }
    println!("{exact} of {checked} samples byte for byte");
    assert!(checked > 50, "{checked}");
}

#[test]
fn what_has_no_form_is_refused() {
    let unknown = encode(&json!({"apiVersion": "v1", "kind": "Foo"}));
    assert!(matches!(unknown, Err(EncodeError::UnknownKind { .. })), "{unknown:?}");
    assert!(encode(&json!([])).is_err());
    let wrong = encode(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}}));
    assert_eq!(wrong, Err(EncodeError::WrongType { field: "metadata".to_owned() }));
    let wrong = encode(&json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": "yes"}));
    assert_eq!(wrong, Err(EncodeError::WrongType { field: "immutable".to_owned() }));
}

#[test]
fn lists_have_the_shape_that_all_lists_have() {
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {}, "status": {}});
    let list = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7", "remainingItemCount": 3},
        "items": [pod("a"), pod("b")],
    });
    let encoded = encode(&list).expect("it encodes");
    let decoded = decode(&encoded).expect("it decodes");
    assert_eq!(decoded["metadata"], list["metadata"]);
    assert_eq!(decoded["items"][1]["metadata"]["name"], "b");
    let metadata = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {},
        "items": [{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}}],
    });
    assert_eq!(
        decode(&encode(&metadata).expect("it encodes")).expect("it decodes")["items"][0]["metadata"]["name"],
        "a"
    );
}

#[test]
fn custom_resources_have_no_form() {
    for (api_version, kind, expected) in [
        ("v1", "Pod", true),
        ("v1", "Status", true),
        ("rbac.authorization.k8s.io/v1", "Role", true),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", true),
        ("meta.k8s.io/v1", "PartialObjectMetadata", true),
        ("apps.example.com/v1", "Deployment", false),
        ("example.com/v1", "Status", false),
        ("meta.k8s.io/v1", "Table", false),
    ] {
        assert_eq!(super::has_form(api_version, kind), expected, "{api_version} {kind}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop::sample::select(vec![
            "metadata",
            "spec",
            "name",
            "containers",
            "labels",
            "creationTimestamp",
            "ports",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_panics(metadata in value(), spec in value()) {
        let _ = encode(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    }
}
