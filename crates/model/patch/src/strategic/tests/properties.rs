//! What holds for every document and every patch.

use super::{POD, apply};
use crate::PatchError;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// An object with some of the given fields.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value))))
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn one_of(values: Vec<Value>) -> BoxedStrategy<Value> {
    prop::sample::select(values).boxed()
}

/// A list whose items have different keys.
fn keyed(key: &'static str, keys: Vec<Value>, rest: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let count = keys.len();
    (prop::sample::subsequence(keys, 0..=count).prop_shuffle(), prop::collection::vec(rest, count))
        .prop_map(move |(keys, rest)| {
            let items = keys.into_iter().zip(rest).map(|(value, mut item)| {
                item[key] = value;
                item
            });
            items.collect()
        })
        .boxed()
}

fn names() -> Vec<Value> {
    ["a", "b", "c", "d"].map(Value::from).to_vec()
}

fn pod(patch: bool) -> BoxedStrategy<Value> {
    let maybe = move |values: Vec<Value>, directives: Vec<Value>| {
        one_of(if patch { values.into_iter().chain(directives).collect() } else { values })
    };
    let text = || maybe(vec![json!("x"), json!("y")], vec![json!(null)]);
    let directive = || maybe(vec![], vec![json!("replace"), json!("delete")]);
    let delete = || maybe(vec![], vec![json!("delete")]);
    let mut map = vec![("k1", text()), ("k2", text())];
    let mut env = vec![("value", text())];
    let mut port = vec![("name", text())];
    if patch {
        map.push(("$patch", directive()));
        env.push(("$patch", delete()));
        port.push(("$patch", delete()));
    }
    let ports = keyed("containerPort", vec![json!(80), json!(81), json!(82)], object(port));
    let container = object(vec![
        ("image", text()),
        ("env", keyed("name", names(), object(env))),
        ("ports", ports),
        ("args", prop::collection::vec(text(), 0..3).prop_map(Value::from).boxed()),
    ]);
    let finalizers = || prop::sample::subsequence(names(), 0..4).prop_shuffle().prop_map(Value::from).boxed();
    let mut metadata = vec![("labels", object(map)), ("finalizers", finalizers())];
    let mut spec = vec![("containers", keyed("name", names(), container)), ("nodeName", text())];
    if patch {
        metadata.push(("$deleteFromPrimitiveList/finalizers", finalizers()));
        let all = |names: Vec<Value>| names.into_iter().map(|name| json!({"name": name})).collect::<Value>();
        spec.push(("$setElementOrder/containers", Just(names()).prop_shuffle().prop_map(all).boxed()));
    }
    object(vec![("metadata", object(metadata)), ("spec", object(spec))])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_panics(document in crate::tests::value(), patch in crate::tests::value()) {
        let _ = apply(POD, &json!({"metadata": document}), &json!({"metadata": patch}));
    }

    #[test]
    fn an_empty_patch_changes_nothing(document in pod(false)) {
        prop_assert_eq!(apply(POD, &document, &json!({})), Ok(document));
    }

    #[test]
    fn an_object_patched_with_itself_stays(document in pod(false)) {
        prop_assert_eq!(apply(POD, &document, &document), Ok(document));
    }

    #[test]
    fn twice_is_once(document in pod(false), mut patch in pod(true)) {
        // Deleting and adding the same scalar in one patch is no plan at all.
        if patch["metadata"]["$deleteFromPrimitiveList/finalizers"].is_array() {
            patch["metadata"]["finalizers"] = Value::Null;
        }
        if let Ok(once) = apply(POD, &document, &patch) {
            match apply(POD, &once, &patch) {
                // A list that is new to the document is taken as it is; the second time it has an order to keep to.
                Err(PatchError::OrderMismatch { .. }) => {}
                twice => prop_assert_eq!(twice, Ok(once)),
            }
        }
    }

    #[test]
    fn patched_objects_carry_no_directive(document in pod(false), patch in pod(true)) {
        if let Ok(patched) = apply(POD, &document, &patch) {
            prop_assert!(!patched.to_string().contains('$'), "{}", patched);
        }
    }
}
