//! The definitions of custom resources.

use super::{API_VERSION, KIND, META};
use crate::openapi::{Resource, dialect::Dialect};
use serde_json::{Map, Value, json};

/// `com.example.stable.v1.CronTab`
pub(super) fn name(resource: &Resource<'_>) -> String {
    let mut words: Vec<&str> = resource.group.split('.').rev().collect();
    words.extend([resource.version, resource.kind]);
    words.join(".")
}

/// A custom resource's schema as published: with the fields that every object has.
pub(super) fn definition(resource: &Resource<'_>, schema: &Value, dialect: Dialect) -> Value {
    let mut made = match published(schema, dialect) {
        Value::Object(made) => made,
        _ => Map::new(),
    };
    made.insert("type".to_owned(), "object".into());
    let properties = made.entry("properties").or_insert_with(|| json!({}));
    let standard = "Standard object's metadata. More info: \
        https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
    let described = Map::from_iter([("description".to_owned(), Value::from(standard))]);
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
        let metadata = dialect.described_reference(&format!("{META}ObjectMeta"), described);
        properties.insert("metadata".to_owned(), metadata);
    }
    made.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        json!([{"group": resource.group, "version": resource.version, "kind": resource.kind}]),
    );
    Value::Object(made)
}

/// The part of a schema that a dialect can express. kubectl reads v2 more strictly than v3: below what it cannot
/// express, v2 says nothing, so that nothing valid is refused.
fn published(schema: &Value, dialect: Dialect) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let flag = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let unclear =
        flag("x-kubernetes-preserve-unknown-fields") || flag("nullable") || flag("x-kubernetes-int-or-string");
    let mut made = Map::new();
    for (key, value) in schema {
        let value = match (key.as_str(), dialect) {
            ("anyOf" | "oneOf" | "allOf" | "not" | "nullable" | "default", Dialect::V2) => continue,
            ("type" | "properties" | "items" | "additionalProperties" | "required", Dialect::V2) if unclear => continue,
            ("$schema" | "$ref" | "id" | "x-kubernetes-validations", _) => continue,
            ("properties" | "patternProperties" | "definitions", _) => match value {
                Value::Object(fields) => Value::Object(
                    fields.iter().map(|(name, field)| (name.clone(), published(field, dialect))).collect(),
                ),
                other => other.clone(),
            },
            ("items" | "additionalProperties" | "not", _) => published(value, dialect),
            ("anyOf" | "oneOf" | "allOf", _) => match value {
                Value::Array(choices) => choices.iter().map(|choice| published(choice, dialect)).collect(),
                other => other.clone(),
            },
            _ => value.clone(),
        };
        made.insert(key.clone(), value);
    }
    Value::Object(made)
}
