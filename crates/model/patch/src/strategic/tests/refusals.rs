//! Patches that are refused, with the status and the words.

use super::{DEPLOYMENT, Kind, POD, SERVICE_ACCOUNT, apply};
use serde_json::{Value, json};

#[test]
fn refusals_have_code_and_words() {
    type Case = (Kind, Value, Value, u16, &'static str);
    let cases: [Case; 13] = [
        (POD, json!({}), json!([]), 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (
            POD,
            json!({"spec": {"nodeSelector": {"a": "1"}}}),
            json!({"spec": {"nodeSelector": {"$patch": "merge", "b": "2"}}}),
            422,
            r#"unknown patch type: "merge" in map: {"b":"2"}"#,
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"image": "x"}]}}),
            422,
            r#"map: {"image":"x"} does not contain declared merge key: name"#,
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"$patch": "delete"}]}}),
            422,
            r#"map: {"$patch":"delete"} does not contain declared merge key: name"#,
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"$patch": "merge"}]}}),
            422,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": [{"$patch": "swap", "name": "a"}]}}),
            422,
            r#"unknown patch type: "swap" in map: {"$patch":"swap","name":"a"}"#,
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"containers": ["a"]}}),
            422,
            r#"list element types are not identical: [{"name":"a"},"a"]"#,
        ),
        (
            POD,
            json!({"metadata": {"finalizers": [["a"]]}}),
            json!({"metadata": {"finalizers": [["b"]]}}),
            422,
            "lists of lists are not supported",
        ),
        (
            DEPLOYMENT,
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
            400,
            "invalid patch format of retainKeys",
        ),
        (
            POD,
            json!({"metadata": {"finalizers": ["a"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}),
            400,
            "invalid patch format of primitive list",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"$setElementOrder": [{"name": "a"}]}}),
            400,
            "invalid patch format of setElementOrder list",
        ),
        (
            SERVICE_ACCOUNT,
            json!({"secrets": [{"name": "a"}]}),
            json!({"$setElementOrder/secrets": "a"}),
            422,
            "expected a array, but received a string",
        ),
        (
            POD,
            json!({"spec": {"containers": [{"name": "a"}]}}),
            json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}),
            422,
            "The order in patch list:\n[{\"name\":\"b\"}]\n doesn't match $setElementOrder list:\n[{\"name\":\"a\"}]\n",
        ),
    ];
    for (kind, document, patch, code, words) in cases {
        let error = apply(kind, &document, &patch).expect_err("refused");
        assert_eq!((error.code(), error.to_string().as_str()), (code, words), "{patch}");
    }
}
