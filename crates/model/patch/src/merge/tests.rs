//! The cases of RFC 7386, appendix A, as far as they are objects, and a few of our own.

use super::merge_patch;
use crate::PatchError;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn objects_merge() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        (json!({"a": "foo"}), json!({"a": {"b": null}}), json!({"a": {}})),
    ];
    for (mut document, patch, expected) in cases {
        let words = format!("{document} + {patch}");
        merge_patch(&mut document, patch).expect("an object");
        assert_eq!(document, expected, "{words}");
    }
}

#[test]
fn a_patch_is_an_object() {
    for patch in [json!(null), json!("a"), json!([1]), json!(3)] {
        let mut document = json!({"a": 1});
        let error = merge_patch(&mut document, patch).expect_err("not an object");
        assert!(matches!(error, PatchError::Shape { .. }));
        assert_eq!((error.code(), document), (400, json!({"a": 1})));
    }
}

proptest! {
    #[test]
    fn twice_is_once(document in crate::tests::value(), patch in crate::tests::value()) {
        let mut once = document;
        if merge_patch(&mut once, patch.clone()).is_ok() {
            let mut twice = once.clone();
            merge_patch(&mut twice, patch).expect("it applied before");
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn an_empty_patch_changes_nothing(document in crate::tests::value()) {
        let document = json!({"a": document});
        let mut patched = document.clone();
        merge_patch(&mut patched, Value::Object(Default::default())).expect("an object");
        prop_assert_eq!(document, patched);
    }
}
