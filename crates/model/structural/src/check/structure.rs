//! Structure: every field has a type, and logical alternatives only restrict what is specified outside of them
//! (`schema.ValidateStructural`).

use minato_kinds::{At, Errors};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Field,
    Item,
}

pub(super) fn check(schema: &Value, at: &At<'_>, errors: &mut Errors) {
    node(schema, Level::Root, at, errors);
}

fn is(schema: &Value, key: &str) -> bool {
    schema[key] == Value::Bool(true)
}

fn node(schema: &Value, level: Level, at: &At<'_>, errors: &mut Errors) {
    let kind = schema["type"].as_str().unwrap_or_default();
    let embedded = is(schema, "x-kubernetes-embedded-resource");
    let int_or_string = is(schema, "x-kubernetes-int-or-string");
    let preserve = is(schema, "x-kubernetes-preserve-unknown-fields");
    let type_at = at.field("type");
    match (level, kind) {
        (Level::Root, "") => errors.required(&type_at, "must not be empty at the root"),
        (Level::Root, "object") => {}
        (Level::Root, kind) => errors.invalid(&type_at, kind, "must be object at the root"),
        (_, "") if !int_or_string && !preserve => {
            let what = if level == Level::Field { "object fields" } else { "array items" };
            errors.required(&type_at, &format!("must not be empty for specified {what}"));
        }
        _ => {}
    }
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() {
            errors.required(&type_at, detail);
        } else {
            errors.invalid(&type_at, kind, detail);
        }
    }
    if int_or_string && !kind.is_empty() {
        errors.invalid(&type_at, kind, "must be empty if x-kubernetes-int-or-string is true");
    }
    if int_or_string && preserve {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        errors.invalid(&at.field("x-kubernetes-preserve-unknown-fields"), true, detail);
    }
    if int_or_string && embedded {
        let detail = "must be false if x-kubernetes-int-or-string is true";
        errors.invalid(&at.field("x-kubernetes-embedded-resource"), true, detail);
    }
    if kind == "array" && !schema["items"].is_object() {
        errors.required(&at.field("items"), "must be specified");
    }
    if level == Level::Root && !schema["additionalProperties"].is_null() {
        errors.forbidden(&at.field("additionalProperties"), "must not be used at the root");
    }
    if embedded {
        if !schema["additionalProperties"].is_null() {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.forbidden(&at.field("additionalProperties"), detail);
        }
        if !preserve && schema["properties"].as_object().is_none_or(serde_json::Map::is_empty) {
            let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.required(&at.field("properties"), detail);
        }
    }
    if level == Level::Root || embedded {
        object_metadata(schema, &at.field("properties"), errors);
    }
    let properties_at = at.field("properties");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        node(property, Level::Field, &properties_at.key(name), errors);
    }
    if schema["additionalProperties"].is_object() {
        node(&schema["additionalProperties"], Level::Field, &at.field("additionalProperties"), errors);
    }
    if schema["items"].is_object() {
        node(&schema["items"], Level::Item, &at.field("items"), errors);
    }
    alternatives(schema, int_or_string, &[schema], at, errors);
}

/// `apiVersion`, `kind` and `metadata` are not for a schema to shape.
fn object_metadata(schema: &Value, at: &At<'_>, errors: &mut Errors) {
    let properties = &schema["properties"];
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        if properties[name].is_object() && properties[name]["type"] != wanted {
            let detail = format!("must be {wanted}");
            errors.invalid(&at.key(name).field("type"), properties[name]["type"].as_str().unwrap_or_default(), detail);
        }
    }
    let metadata = &properties["metadata"];
    let Some(fields) = metadata.as_object() else { return };
    let known = |key: &str| matches!(key, "type" | "description" | "title" | "properties");
    let only_names = metadata["properties"]
        .as_object()
        .is_none_or(|fields| fields.keys().all(|name| matches!(name.as_str(), "name" | "generateName")));
    if !only_names || !fields.keys().all(|key| known(key)) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.forbidden(&at.key("metadata"), detail);
    }
}

/// Below `allOf`, `anyOf`, `oneOf` and `not` there may be restrictions alone, of fields that `outside` has.
fn alternatives(schema: &Value, int_or_string: bool, outside: &[&Value], at: &At<'_>, errors: &mut Errors) {
    for key in ["allOf", "anyOf", "oneOf"] {
        let at = at.field(key);
        let choices = schema[key].as_array().map_or(&[][..], Vec::as_slice);
        let types = json!([{"type": "integer"}, {"type": "string"}]);
        // Code generators write it so, and it says what x-kubernetes-int-or-string says.
        let exempt = int_or_string && key == "anyOf" && schema[key] == types;
        for (index, choice) in choices.iter().enumerate() {
            let typed = exempt || (int_or_string && key == "allOf" && index == 0 && choice["anyOf"] == types);
            restriction(choice, typed, outside, &at.index(index), errors);
        }
    }
    if schema["not"].is_object() {
        restriction(&schema["not"], false, outside, &at.field("not"), errors);
    }
}

fn restriction(schema: &Value, typed: bool, outside: &[&Value], at: &At<'_>, errors: &mut Errors) {
    if !typed && schema["type"].as_str().is_some_and(|kind| !kind.is_empty()) {
        errors.forbidden(&at.field("type"), "must be empty to be structural");
    }
    for key in ["title", "description"] {
        if schema[key].as_str().is_some_and(|text| !text.is_empty()) {
            errors.forbidden(&at.field(key), "must be empty to be structural");
        }
    }
    for key in ["default", "additionalProperties"] {
        if !schema[key].is_null() {
            errors.forbidden(&at.field(key), "must be undefined to be structural");
        }
    }
    for key in [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        if is(schema, key) {
            errors.forbidden(&at.field(key), "must be false to be structural");
        }
    }
    let specified = |find: &dyn Fn(&Value) -> Value| -> Vec<Value> {
        outside.iter().map(|outside| find(outside)).filter(Value::is_object).collect()
    };
    let properties_at = at.field("properties");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let place = properties_at.key(name);
        if name == "metadata" && outside.len() == 1 && outside[0]["properties"]["metadata"].is_null() {
            // Fields of metadata are known to all objects.
            continue;
        }
        let found = specified(&|outside| match &outside["properties"][name.as_str()] {
            Value::Null => outside["additionalProperties"].clone(),
            property => property.clone(),
        });
        if found.is_empty() {
            missing(&place, errors);
        }
        restriction(property, false, &found.iter().collect::<Vec<_>>(), &place, errors);
    }
    if schema["items"].is_object() {
        let place = at.field("items");
        let found = specified(&|outside| outside["items"].clone());
        if found.is_empty() {
            missing(&place, errors);
        }
        restriction(&schema["items"], false, &found.iter().collect::<Vec<_>>(), &place, errors);
    }
    if !typed || !schema["anyOf"].is_array() {
        alternatives(schema, false, outside, at, errors);
    }
}

fn missing(at: &At<'_>, errors: &mut Errors) {
    let path = at.to_string();
    // Where it would have to be: the same path without the steps into alternatives.
    let mut place = String::new();
    let mut rest = path.as_str();
    while let Some(start) = [".allOf[", ".anyOf[", ".oneOf[", ".not."].iter().filter_map(|step| rest.find(step)).min() {
        place.push_str(&rest[..start]);
        let step = &rest[start..];
        rest = match step.strip_prefix(".not") {
            Some(after) => after,
            None => step.find(']').map_or("", |end| &step[end + 1..]),
        };
    }
    place.push_str(rest);
    let detail = format!("because it is defined in {path}");
    errors.required(&At::Root.field(&place), &detail);
}
