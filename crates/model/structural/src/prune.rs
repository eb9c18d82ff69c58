//! Pruning: what a schema does not specify is dropped.

use serde_json::{Map, Value};

use crate::schema::{Additional, Schema};

/// Removes from `object`, a resource, what `schema` does not specify; returns the paths of what was removed, as
/// `spec.list[0].name`. `apiVersion`, `kind` and `metadata` stay, here and in embedded resources.
pub fn prune(schema: &Schema, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    walk(Some(schema), object, true, &mut String::new(), &mut removed);
    removed
}

fn walk(schema: Option<&Schema>, value: &mut Value, resource: bool, path: &mut String, removed: &mut Vec<String>) {
    match value {
        Value::Object(fields) => object(schema, fields, resource, path, removed),
        Value::Array(items) => {
            if schema.is_some_and(|schema| schema.preserve_unknown && schema.items.is_none()) {
                return;
            }
            let schema = schema.and_then(|schema| schema.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                walk(schema, item, schema.is_some_and(|schema| schema.embedded), path, removed);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn object(
    schema: Option<&Schema>,
    fields: &mut Map<String, Value>,
    resource: bool,
    path: &mut String,
    removed: &mut Vec<String>,
) {
    fields.retain(|name, value| {
        if resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            return true;
        }
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let field = schema.and_then(|schema| schema.field(name));
        let preserved = schema.is_some_and(|schema| schema.preserve_unknown);
        let stays = match (field, schema.and_then(|schema| schema.additional.as_ref())) {
            (Some(field), _) => {
                walk(Some(field), value, field.embedded, path, removed);
                true
            }
            _ if preserved => true,
            (None, Some(Additional::Any(_))) => {
                walk(None, value, false, path, removed);
                true
            }
            _ => {
                removed.push(path.clone());
                false
            }
        };
        path.truncate(length);
        stays
    });
}
