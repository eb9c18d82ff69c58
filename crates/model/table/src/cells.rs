//! Reading objects: paths, and the fragments that many tables share.

use jiff::Timestamp;
use minato_select::LabelSelector;
use serde_json::Value;

use crate::age;

pub(crate) const NONE: &str = "<none>";
pub(crate) const UNSET: &str = "<unset>";

static NULL: Value = Value::Null;

/// The value at a path such as `spec.nodeName`; null where there is none.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(object, |value, field| value.get(field)).unwrap_or(&NULL)
}

/// The text at a path; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The integer at a path; zero where there is none.
pub(crate) fn integer(object: &Value, path: &str) -> i64 {
    at(object, path).as_i64().unwrap_or_default()
}

/// Whether the flag at a path is set.
pub(crate) fn flag(object: &Value, path: &str) -> bool {
    at(object, path).as_bool().unwrap_or_default()
}

/// The elements of the array at a path.
pub(crate) fn items<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

/// How many entries the array or map at a path has.
pub(crate) fn count(object: &Value, path: &str) -> i64 {
    let found = at(object, path);
    let length = found.as_array().map(Vec::len).or_else(|| found.as_object().map(serde_json::Map::len));
    length.unwrap_or_default().try_into().unwrap_or(i64::MAX)
}

/// The scalar at a path as text (an `IntOrString`, a number, a flag), or the replacement where there is none.
pub(crate) fn shown_or(object: &Value, path: &str, replacement: &str) -> String {
    match at(object, path) {
        Value::Null => replacement.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text, or the replacement if it is empty.
pub(crate) fn or<'a>(text: &'a str, replacement: &'a str) -> &'a str {
    if text.is_empty() { replacement } else { text }
}

pub(crate) fn name(object: &Value) -> Value {
    text(object, "metadata.name").into()
}

pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    age::since(at(object, "metadata.creationTimestamp"), now).into()
}

pub(crate) fn is_deleted(object: &Value) -> bool {
    !at(object, "metadata.deletionTimestamp").is_null()
}

/// Whether the status has that condition and it is true.
pub(crate) fn condition_is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "status") == "True")
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "status.conditions").iter().find(|condition| text(condition, "type") == kind)
}

/// `a=1,b=2`, or `<none>`.
pub(crate) fn labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let joined = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    or(&joined.collect::<Vec<_>>().join(","), NONE).to_owned()
}

/// The canonical form of a label selector object, or `<none>`.
pub(crate) fn selector(selector: &Value) -> String {
    match LabelSelector::from_object(selector) {
        Ok(selector) => or(&selector.to_string(), NONE).to_owned(),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of the containers in a pod spec, each joined by commas.
pub(crate) fn containers(pod_spec: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| join(items(pod_spec, "containers").iter().map(|c| text(c, field)), ",").into())
}

pub(crate) fn join<'a>(parts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

/// The first three entries and how many more there are.
pub(crate) fn first_three(entries: &[String], when_empty: &str) -> String {
    const SHOWN: usize = 3;
    match entries.len() {
        0 => when_empty.to_owned(),
        all if all > SHOWN => format!("{} + {} more...", entries[..SHOWN].join(","), all - SHOWN),
        _ => entries.join(","),
    }
}

/// `10.0.0.1:80`, with brackets around an IPv6 address.
pub(crate) fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
