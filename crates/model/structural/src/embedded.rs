//! Resources inside resources: `x-kubernetes-embedded-resource`.

use minato_kinds::{At, Errors, FieldError, NameRule, names};
use serde_json::Value;

use crate::schema::Schema;

/// What is wrong with the `apiVersion`, `kind` and `metadata` of embedded resources in `object`.
pub fn validate_embedded(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    walk(schema, object, false, &At::Root, &mut errors);
    errors.into_vec()
}

fn walk(schema: &Schema, value: &Value, embedded: bool, at: &At<'_>, errors: &mut Errors) {
    match value {
        Value::Object(fields) => {
            if embedded {
                resource(value, at, errors);
            }
            for (name, value) in fields {
                if let Some(property) = schema.properties.get(name) {
                    walk(property, value, property.embedded, &at.field(name), errors);
                } else if let Some(additional) = schema.field(name) {
                    walk(additional, value, additional.embedded, &at.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, schema.embedded, &at.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn resource(value: &Value, at: &At<'_>, errors: &mut Errors) {
    let version_at = at.field("apiVersion");
    match value.get("apiVersion") {
        None => errors.required(&version_at, "must not be empty"),
        Some(Value::String(version)) if version.is_empty() => {
            errors.invalid(&version_at, version.as_str(), "must not be empty");
        }
        Some(Value::String(version)) if version.matches('/').count() > 1 => {
            errors.invalid(&version_at, version.as_str(), format!("unexpected GroupVersion string: {version}"));
        }
        Some(Value::String(_)) => {}
        Some(other) => errors.invalid(&version_at, other.clone(), "must be a string"),
    }
    let kind_at = at.field("kind");
    match value.get("kind") {
        None => errors.required(&kind_at, "must not be empty"),
        Some(Value::String(kind)) if kind.is_empty() => errors.invalid(&kind_at, "", "must not be empty"),
        Some(Value::String(kind)) => {
            let complaints = names::dns_1035_label(&kind.to_lowercase());
            if !complaints.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                errors.invalid(&kind_at, kind.as_str(), detail);
            }
        }
        Some(other) => errors.invalid(&kind_at, other.clone(), "must be a string"),
    }
    let metadata_at = at.field("metadata");
    match value.get("metadata") {
        None => {}
        Some(metadata @ Value::Object(_)) => {
            let mut metadata = metadata.clone();
            let namespaced = metadata["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty());
            if metadata["name"].as_str().unwrap_or_default().is_empty() {
                // A resource that is not made yet needs no name.
                metadata["name"] = "fakename".into();
            }
            let found = minato_kinds::metadata::validate_at(&metadata, &metadata_at, namespaced, NameRule::PathSegment);
            errors.extend(found);
        }
        Some(other) => errors.invalid(&metadata_at, other.clone(), "must be an object"),
    }
}
