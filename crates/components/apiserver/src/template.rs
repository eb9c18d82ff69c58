//! An object written once: the JSON that the store keeps and every reader gets.

use std::io::Write as _;

use minato_mvcc::Template;
use serde_json::{Map, Value};

/// Writes `object` with a gap where `metadata.resourceVersion` will be.
///
/// `metadata` must be an object that has the key `resourceVersion`, whatever its value.
pub(crate) fn template(object: &Map<String, Value>) -> Template {
    let mut bytes = Vec::with_capacity(1024);
    let mut revision_at = 0;
    write_fields(&mut bytes, type_first(object), |bytes, key, value| {
        let Value::Object(metadata) = value else { return false };
        if key != "metadata" {
            return false;
        }
        write_fields(bytes, metadata, |bytes, key, _| {
            let here = key == "resourceVersion";
            if here {
                bytes.extend_from_slice(b"\"\"");
                revision_at = bytes.len() - 1;
            }
            here
        });
        true
    });
    Template { bytes, revision_at }
}

/// The JSON of `object`, its fields in the same order.
pub(crate) fn json(object: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write_fields(&mut bytes, type_first(object), |_, _, _| false);
    bytes
}

/// How the JSON of objects of this kind begins, up to where their own fields do.
pub(crate) fn opening(kind: &str, api_version: &str) -> String {
    format!("{{\"kind\":{},\"apiVersion\":{},", Value::from(kind), Value::from(api_version))
}

/// The fields with those first that all objects of a kind share, as upstream writes them: lists can leave these out.
fn type_first(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    const FIRST: [&str; 2] = ["kind", "apiVersion"];
    let first = FIRST.into_iter().filter_map(|key| object.get_key_value(key));
    first.chain(object.iter().filter(|(key, _)| !FIRST.contains(&key.as_str())))
}

/// Writes `{…}`; `special` writes the value itself where it returns true.
fn write_fields<'a>(
    bytes: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    mut special: impl FnMut(&mut Vec<u8>, &str, &Value) -> bool,
) {
    bytes.push(b'{');
    for (index, (key, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        write_json(bytes, key);
        bytes.push(b':');
        if !special(bytes, key, value) {
            write_json(bytes, value);
        }
    }
    bytes.push(b'}');
}

/// Writing to memory cannot fail, and a `Value`'s keys are always strings.
fn write_json(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        bytes.truncate(before);
        let _ = bytes.write_all(b"null");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: &Value) {
        let Template { bytes, revision_at } = template(object.as_object().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let spliced = format!("{}42{}", &text[..revision_at], &text[revision_at..]);
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(serde_json::from_str::<Value>(&spliced).unwrap(), expected, "{spliced}");
    }

    #[test]
    fn the_type_comes_first() {
        let object = json!({"apiVersion": "v1", "data": {"a": "b"}, "kind": "ConfigMap", "metadata": {"name": "n"}});
        let bytes = json(object.as_object().unwrap());
        assert!(bytes.starts_with(opening("ConfigMap", "v1").as_bytes()));
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), object);
    }

    #[test]
    fn the_gap_is_where_the_revision_goes() {
        check(&json!({"metadata": {"resourceVersion": ""}}));
        check(&json!({"metadata": {"resourceVersion": "7", "uid": "a"}, "spec": {"resourceVersion": "x"}}));
        check(
            &json!({"apiVersion": "v1", "metadata": {"name": "a\"b", "resourceVersion": null, "annotations": {"resourceVersion": "z"}}}),
        );
    }
}
