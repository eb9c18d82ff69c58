//! Defaulting, and what becomes of `null`.

use serde_json::Value;

use crate::schema::{Additional, Schema};

/// Fills in defaults where a field is absent, or `null` without being nullable. Idempotent.
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                if fields.get(name).is_none_or(|found| is_stray_null(property, found)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                let Some(field) = schema.field(name) else { continue };
                if let Some(default) = &field.default
                    && is_stray_null(field, value)
                {
                    *value = default.clone();
                }
                self::default(field, value);
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.items.as_deref() else { return };
            for item in items {
                if let Some(default) = &schema.default
                    && is_stray_null(schema, item)
                {
                    *item = default.clone();
                }
                self::default(schema, item);
            }
        }
        _ => {}
    }
}

/// Removes fields that are `null` though their schema does not allow it and has no default.
pub fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(field) = schema.field(name) else { return true };
            if is_stray_null(field, value) {
                return false;
            }
            drop_nulls(field, value);
            true
        }),
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                items.iter_mut().for_each(|item| drop_nulls(schema, item));
            }
        }
        _ => {}
    }
}

fn is_stray_null(schema: &Schema, value: &Value) -> bool {
    value.is_null() && !schema.nullable
}

/// Whether the schema has a default anywhere.
pub(crate) fn has_defaults(schema: &Schema) -> bool {
    schema.default.is_some()
        || schema.properties.values().any(has_defaults)
        || schema.items.as_deref().is_some_and(has_defaults)
        || matches!(&schema.additional, Some(Additional::Schema(schema)) if has_defaults(schema))
}
