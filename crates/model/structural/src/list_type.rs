//! Lists whose elements must differ: `x-kubernetes-list-type` of `set` and `map`.

use std::collections::HashSet;

use minato_kinds::{At, Errors, FieldError};
use serde_json::{Map, Value};

use crate::schema::{ListType, Schema};

/// Which elements of sets and maps are there twice.
pub fn validate_lists(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    walk(schema, object, &At::Root, &mut errors);
    errors.into_vec()
}

fn walk(schema: &Schema, value: &Value, at: &At<'_>, errors: &mut Errors) {
    match value {
        Value::Array(items) => {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let key = match schema.list_type {
                    ListType::Atomic => None,
                    ListType::Set => Some(item.clone()),
                    ListType::Map => Some(key_of(schema, item)),
                };
                if let Some(key) = key
                    && !seen.insert(key.to_string())
                {
                    errors.duplicate(&at.index(index), key);
                }
            }
            if let Some(schema) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &at.index(index), errors);
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(property) = schema.properties.get(name) {
                    walk(property, value, &at.field(name), errors);
                } else if let Some(additional) = schema.field(name) {
                    walk(additional, value, &at.key(name), errors);
                }
            }
        }
        _ => {}
    }
}

/// The fields that tell an element of a map from the others.
pub(crate) fn key_of(schema: &Schema, item: &Value) -> Value {
    let found = schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(found.collect::<Map<_, _>>())
}
