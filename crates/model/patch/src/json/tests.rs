//! Operations and what they do; the published cases of RFC 6902 where they are at hand.

use super::{COPIED_BYTES_MAX, OPERATIONS_MAX, json_patch};
use crate::{PatchError, depth::depth};
use proptest::prelude::*;
use serde_json::{Value, json};

fn run(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut patched = document.clone();
    let result = json_patch(&mut patched, patch.to_string().as_bytes());
    if result.is_err() {
        assert_eq!(&patched, document, "a refused patch leaves no trace: {patch}");
    }
    result.map(|()| patched)
}

#[test]
fn the_published_cases() {
    for file in ["spec_tests.json", "tests.json"] {
        let path = format!("{}/../../../../shared/spec/json-patch/{file}", env!("CARGO_MANIFEST_DIR"));
        let Ok(bytes) = std::fs::read(&path) else {
            eprintln!("skipped: no {file} beside the project");
            continue;
        };
        let cases: Vec<Value> = serde_json::from_slice(&bytes).expect("cases are JSON");
        let mut run_cases = 0;
        for case in cases.iter().filter(|case| case.get("disabled").is_none() && case.get("doc").is_some()) {
            let result = run(&case["doc"], &case["patch"]);
            match case.get("expected") {
                Some(expected) => assert_eq!(result.as_ref(), Ok(expected), "{case}"),
                None if case.get("error").is_some() => assert!(result.is_err(), "{case}"),
                None => assert!(result.is_ok(), "{case}"),
            }
            run_cases += 1;
        }
        assert!(run_cases > 10, "{file} has cases");
    }
}

#[test]
fn refusals_have_code_and_words() {
    let document = json!({"a": 1, "l": [1], "o": {"x": {}}});
    let cases = [
        (json!({}), 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (json!([1]), 400, "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
        (json!([{"op": "test", "path": "/a", "value": 2}]), 422, "testing value /a failed: test failed"),
        (
            json!([{"op": "remove", "path": "/b"}]),
            422,
            r#"remove operation does not apply: doc is missing path: "/b": missing value"#,
        ),
        (
            json!([{"op": "add", "path": "/b/c", "value": 1}]),
            422,
            r#"add operation does not apply: doc is missing path: "/b/c": missing value"#,
        ),
        (
            json!([{"op": "copy", "from": "/z", "path": "/b"}]),
            422,
            r#"copy operation does not apply: doc is missing path: "/z": missing value"#,
        ),
        (
            json!([{"op": "move", "from": "/o", "path": "/o/x/y"}]),
            422,
            r#"move operation does not apply: "/o/x/y" is inside the value to move"#,
        ),
        (
            json!([{"op": "add", "path": "/l/5", "value": 1}]),
            422,
            r#"add operation does not apply: doc is missing path: "/l/5": missing value"#,
        ),
    ];
    for (patch, code, words) in cases {
        let error = run(&document, &patch).expect_err("refused");
        assert_eq!((error.code(), error.to_string().as_str()), (code, words), "{patch}");
    }
    for patch in [json!([{"op": "jump", "path": "/a"}]), json!([{"op": "add", "path": "/a"}]), json!([{"path": "/a"}])]
    {
        let error = run(&document, &patch).expect_err("no operation");
        assert!(matches!(error, PatchError::Operation { index: 0, .. }), "{patch}: {error}");
    }
    let mut document = json!({});
    let error = json_patch(&mut document, b"[{").expect_err("no JSON");
    assert_eq!(
        (error.code(), error.to_string()),
        (400, "error decoding patch: unexpected end of JSON input".to_owned())
    );
}

#[test]
fn nothing_is_applied_if_the_last_operation_fails() {
    let patch = json!([{"op": "add", "path": "/b", "value": 1}, {"op": "remove", "path": "/none"}]);
    assert!(run(&json!({"a": 1}), &patch).is_err());
}

#[test]
fn operations_are_counted() {
    let operation = json!({"op": "add", "path": "/a", "value": 1});
    let many = |count| Value::Array(vec![operation.clone(); count]);
    assert!(run(&json!({}), &many(OPERATIONS_MAX)).is_ok());
    let error = run(&json!({}), &many(OPERATIONS_MAX + 1)).expect_err("one too many");
    let words = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!((error.code(), error.to_string().as_str()), (413, words));
}

#[test]
fn copies_do_not_explode() {
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let error = run(&json!({"a": ["x".repeat(1000)]}), &Value::Array(vec![double; 64])).expect_err("2^64 bytes");
    assert!(matches!(error, PatchError::CopyTooLarge { limit: COPIED_BYTES_MAX, .. }));
    assert_eq!(error.code(), 413);
}

#[test]
fn moves_do_not_build_towers() {
    let wrap = [
        json!({"op": "move", "from": "/a", "path": "/t"}),
        json!({"op": "add", "path": "/a", "value": {}}),
        json!({"op": "move", "from": "/t", "path": "/a/b"}),
    ];
    let patch = |times: usize| Value::Array(wrap.iter().cycle().take(3 * times).cloned().collect());
    let document = json!({"a": {}});
    assert_eq!(run(&document, &patch(3000)), Err(PatchError::Depth));
    assert_eq!(run(&document, &patch(50)).map(|patched| depth(&patched)), Ok(52));
}

#[test]
fn many_shallow_moves_are_fine() {
    let fields: serde_json::Map<String, Value> = (0..2000).map(|n| (format!("f{n}"), json!({}))).collect();
    let moves = (0..2000).map(|n| json!({"op": "move", "from": format!("/f{n}"), "path": format!("/to/f{n}")}));
    let patch: Vec<Value> = std::iter::once(json!({"op": "add", "path": "/to", "value": {}})).chain(moves).collect();
    assert!(run(&Value::Object(fields), &Value::Array(patch)).is_ok());
}

fn operation() -> impl Strategy<Value = Value> {
    let pointer = || "(/([a-d]|[0-3]|-)){0,4}";
    (
        prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]),
        pointer(),
        pointer(),
        crate::tests::value(),
    )
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = json_patch(&mut json!({"a": [1, {"b": 2}]}), &bytes);
    }

    #[test]
    fn all_or_nothing(document in crate::tests::value(), patch in prop::collection::vec(operation(), 0..6)) {
        let _ = run(&document, &Value::Array(patch));
    }

    #[test]
    fn an_empty_patch_changes_nothing(document in crate::tests::value()) {
        prop_assert_eq!(run(&document, &json!([])), Ok(document));
    }
}
