//! Lists whose elements must differ: `x-kubernetes-list-type` of `set` and `map`.

use std::collections::{HashMap, HashSet};

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

/// The elements of a list before a change, by what tells them apart.
pub(crate) struct Before<'v>(HashMap<Value, &'v Value>);

impl<'v> Before<'v> {
    /// Those of `items`, which `schema` is the list of; of duplicates the first one.
    pub(crate) fn of(schema: &Schema, items: &'v [Value]) -> Self {
        let mut found = HashMap::with_capacity(items.len());
        for item in items {
            found.entry(key_of(schema, item)).or_insert(item);
        }
        Self(found)
    }

    /// What `item` was.
    pub(crate) fn find(&self, schema: &Schema, item: &Value) -> Option<&'v Value> {
        self.0.get(&key_of(schema, item)).copied()
    }
}

/// The fields that tell an element of a map from the others.
fn key_of(schema: &Schema, item: &Value) -> Value {
    let found = schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(found.collect::<Map<_, _>>())
}
