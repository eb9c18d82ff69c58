//! Keywords: which are allowed, and with which values (`ValidateCustomResourceDefinitionOpenAPISchema`).

use minato_kinds::{At, Errors};
use serde_json::Value;

use crate::schema::compile_pattern;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const LIST_TYPES: [&str; 3] = ["atomic", "set", "map"];
const MAP_TYPES: [&str; 2] = ["granular", "atomic"];
const UNSUPPORTED: [&str; 7] =
    ["$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems"];

pub(super) fn check(schema: &Value, at: &At<'_>, root: bool, errors: &mut Errors) {
    let text = |key: &str| schema[key].as_str().unwrap_or_default();
    let is = |key: &str| schema[key] == Value::Bool(true);
    for key in UNSUPPORTED {
        if schema.get(key).is_some_and(|value| !value.is_null() && value.as_str() != Some("")) {
            errors.forbidden(&at.field(key), format!("{key} is not supported"));
        }
    }
    if is("uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&at.field("uniqueItems"), detail);
    }
    let has_properties = schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    match &schema["additionalProperties"] {
        Value::Bool(false) => {
            errors.forbidden(&at.field("additionalProperties"), "additionalProperties cannot be set to false");
        }
        Value::Null => {}
        _ if has_properties => {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.forbidden(&at.field("additionalProperties"), detail);
        }
        _ => {}
    }
    match text("type") {
        "null" => {
            let detail = "type cannot be set to null, use nullable as an alternative";
            errors.forbidden(&at.field("type"), detail);
        }
        "" => {}
        kind if TYPES.contains(&kind) => {}
        kind => errors.not_supported(&at.field("type"), kind, &TYPES),
    }
    if schema["items"].is_array() {
        errors.forbidden(&at.field("items"), "items must be a schema object and not an array");
    }
    if let Err(error) = compile_pattern(text("pattern")) {
        let detail = format!("must be a valid regular expression, but isn't: {error}");
        errors.invalid(&at.field("pattern"), text("pattern"), detail);
    }
    if root && is("nullable") {
        errors.forbidden(&at.field("nullable"), "nullable cannot be true at the root");
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(false) {
        errors.invalid(&at.field("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
    }
    lists(schema, at, errors);
    let map_type = text("x-kubernetes-map-type");
    if !map_type.is_empty() {
        must_be(schema, "object", "x-kubernetes-map-type", at, errors);
        if !MAP_TYPES.contains(&map_type) {
            errors.not_supported(&at.field("x-kubernetes-map-type"), map_type, &MAP_TYPES);
        }
    }
    below(schema, at, errors);
}

fn below(schema: &Value, at: &At<'_>, errors: &mut Errors) {
    let properties_at = at.field("properties");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check(property, &properties_at.key(name), false, errors);
    }
    for key in ["additionalProperties", "items", "not"] {
        if schema[key].is_object() {
            check(&schema[key], &at.field(key), false, errors);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let at = at.field(key);
        for (index, choice) in schema[key].as_array().into_iter().flatten().enumerate() {
            check(choice, &at.index(index), false, errors);
        }
    }
}

fn must_be(schema: &Value, kind: &str, keyword: &str, at: &At<'_>, errors: &mut Errors) {
    let detail = format!("must be {kind} if {keyword} is specified");
    match schema["type"].as_str().unwrap_or_default() {
        "" => errors.required(&at.field("type"), &detail),
        found if found == kind => {}
        found => errors.invalid(&at.field("type"), found, detail),
    }
}

fn lists(schema: &Value, at: &At<'_>, errors: &mut Errors) {
    const KEYS: &str = "x-kubernetes-list-map-keys";
    const TYPE: &str = "x-kubernetes-list-type";
    let list_type = schema[TYPE].as_str().unwrap_or_default();
    let keys: Vec<&str> = schema[KEYS].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !list_type.is_empty() {
        must_be(schema, "array", TYPE, at, errors);
        if !LIST_TYPES.contains(&list_type) {
            errors.not_supported(&at.field(TYPE), list_type, &LIST_TYPES);
        }
    }
    let items = &schema["items"];
    let items_at = at.field("items");
    if list_type == "set" {
        let atomic = |key: &str| items[key].as_str() == Some("atomic");
        match items["type"].as_str() {
            Some("object") if !atomic("x-kubernetes-map-type") => {
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                match items["x-kubernetes-map-type"].as_str() {
                    None => errors.required(&items_at.field("x-kubernetes-map-type"), detail),
                    Some(found) => errors.invalid(&items_at.field("x-kubernetes-map-type"), found, detail),
                }
            }
            Some("array") if !matches!(items[TYPE].as_str(), None | Some("atomic")) => {
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                errors.invalid(&items_at.field(TYPE), items[TYPE].clone(), detail);
            }
            _ => {}
        }
        if items["nullable"] == Value::Bool(true) {
            let detail = "cannot be nullable when x-kubernetes-list-type is set";
            errors.forbidden(&items_at.field("nullable"), detail);
        }
    }
    if list_type != "map" {
        if !keys.is_empty() {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            match list_type {
                "" => errors.required(&at.field(TYPE), detail),
                found => errors.invalid(&at.field(TYPE), found, detail),
            }
        }
        return;
    }
    if keys.is_empty() {
        errors.required(&at.field(KEYS), "must not be empty if x-kubernetes-list-type is map");
    }
    if !items.is_object() {
        errors.required(&items_at, "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    match items["type"].as_str() {
        Some("object") => {}
        found => {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            errors.invalid(&items_at.field("type"), found.unwrap_or_default(), detail);
        }
    }
    if items["nullable"] == Value::Bool(true) {
        errors.forbidden(&items_at.field("nullable"), "cannot be nullable when x-kubernetes-list-type is map");
    }
    let required: Vec<&str> = items["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let keys_at = at.field(KEYS);
    let properties_at = items_at.field("properties");
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            errors.duplicate(&keys_at.index(index), *key);
        }
        let property = &items["properties"][*key];
        if !property.is_object() {
            errors.invalid(&keys_at.index(index), *key, "entries must all be names of item properties");
            continue;
        }
        let property_at = properties_at.key(key);
        if let Some(found @ ("array" | "object")) = property["type"].as_str() {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.invalid(&property_at.field("type"), found, detail);
        }
        if property["nullable"] == Value::Bool(true) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&property_at.field("nullable"), detail);
        }
        if property.get("default").is_none() && !required.contains(key) {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&property_at.field("default"), detail);
        }
    }
}
