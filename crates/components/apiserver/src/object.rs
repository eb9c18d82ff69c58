//! Reading and writing the metadata of an object that is a JSON value.

use jiff::Timestamp;
use minato_mvcc::Attributes;
use serde_json::{Map, Value};

use minato_kinds::Declaration;

/// The text at `metadata.<key>`; empty where absent.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"][key].as_str().unwrap_or_default()
}

/// `metadata`, made where absent.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        // The line above has just made it an object.
        _ => unreachable!(),
    }
}

/// The finalizers.
pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether its deletion has been asked for.
pub(crate) fn is_terminating(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// A time as the API writes it: RFC 3339, whole seconds.
pub(crate) fn time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

/// The labels of an object of whatever kind.
pub(crate) fn labels_of(object: &Value) -> Attributes {
    let empty = Map::new();
    let labels = object["metadata"]["labels"].as_object().unwrap_or(&empty);
    Attributes::new(labels.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))), [])
}

/// What selectors look at in `object`.
pub(crate) fn attributes(declaration: &Declaration, object: &Value) -> Attributes {
    let empty = Map::new();
    let labels = object["metadata"]["labels"].as_object().unwrap_or(&empty);
    // A JSON map is sorted by key.
    let labels = labels.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    let mut fields = declaration.selectable_values(object);
    fields.sort_unstable();
    Attributes::new(labels, fields.iter().map(|(path, value)| (*path, value.as_str())))
}
