//! The v2 document as `gnostic`'s protobuf message `openapi.v2.Document`, written straight from the JSON.
//!
//! Field numbers are those of `openapiv2/OpenAPIv2.proto` in google/gnostic. What the documents of this crate do not
//! hold (forms, OAuth, XML, …) is not written.

mod writer;

use serde_json::{Map, Value};
use writer::Writer;

/// A whole document: what is not in `paths`, `definitions` and `parameters`, which are encoded already, is in `frame`.
pub(super) fn document(frame: &Value, paths: &[u8], definitions: &[u8], parameters: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.text(1, &frame["swagger"]);
    writer.message(2, |info| {
        info.text(1, &frame["info"]["title"]);
        info.text(2, &frame["info"]["version"]);
    });
    writer.delimited(8, paths);
    writer.delimited(9, definitions);
    writer.delimited(10, parameters);
    for requirement in items(&frame["security"]) {
        writer.message(12, |security| security_requirement(security, requirement));
    }
    writer.message(13, |definitions| {
        for (name, definition) in fields(&frame["securityDefinitions"]) {
            definitions.named(1, name, |item| item.message(2, |key| api_key(key, definition)));
        }
    });
    writer.into_bytes()
}

/// An entry of the document's paths.
pub(super) fn path(path: &str, item: &Value) -> Vec<u8> {
    entry(2, path, |value| path_item(value, item))
}

/// An entry of the document's definitions.
pub(super) fn definition(name: &str, definition: &Value) -> Vec<u8> {
    entry(1, name, |value| schema(value, definition))
}

/// An entry of the document's parameters.
pub(super) fn shared_parameter(name: &str, parameter: &Value) -> Vec<u8> {
    entry(1, name, |value| self::parameter(value, parameter))
}

fn entry(number: u32, name: &str, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.named(number, name, fill);
    writer.into_bytes()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn security_requirement(writer: &mut Writer, requirement: &Value) {
    for (name, scopes) in fields(requirement) {
        writer.named(1, name, |array| items(scopes).for_each(|scope| array.text(1, scope)));
    }
}

fn api_key(writer: &mut Writer, definition: &Value) {
    for (number, key) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        writer.text(number, &definition[key]);
    }
}

fn path_item(writer: &mut Writer, item: &Value) {
    let methods = [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")];
    for (number, method) in methods {
        if let Some(operation) = item.get(method) {
            writer.message(number, |value| self::operation(value, operation));
        }
    }
    for parameter in items(&item["parameters"]) {
        writer.message(9, |value| parameters_item(value, parameter));
    }
}

fn operation(writer: &mut Writer, operation: &Value) {
    items(&operation["tags"]).for_each(|tag| writer.text(1, tag));
    writer.text(3, &operation["description"]);
    writer.text(5, &operation["operationId"]);
    items(&operation["produces"]).for_each(|media_type| writer.text(6, media_type));
    items(&operation["consumes"]).for_each(|media_type| writer.text(7, media_type));
    for parameter in items(&operation["parameters"]) {
        writer.message(8, |value| parameters_item(value, parameter));
    }
    writer.message(9, |responses| {
        for (code, response) in fields(&operation["responses"]) {
            responses.named(1, code, |value| value.message(1, |value| self::response(value, response)));
        }
    });
    items(&operation["schemes"]).for_each(|scheme| writer.text(10, scheme));
    extensions(writer, 13, operation.as_object());
}

fn response(writer: &mut Writer, response: &Value) {
    writer.text(1, &response["description"]);
    if let Some(schema) = response.get("schema") {
        writer.message(2, |item| item.message(1, |value| self::schema(value, schema)));
    }
}

/// A `ParametersItem`: a reference, or a parameter.
fn parameters_item(writer: &mut Writer, item: &Value) {
    match item.get("$ref") {
        Some(reference) => writer.message(2, |value| value.text(1, reference)),
        None => writer.message(1, |value| parameter(value, item)),
    }
}

/// A `Parameter`.
fn parameter(writer: &mut Writer, parameter: &Value) {
    match parameter["in"].as_str() {
        Some("body") => writer.message(1, |body| {
            body.text(1, &parameter["description"]);
            body.text(2, &parameter["name"]);
            body.text(3, &parameter["in"]);
            body.flag(4, &parameter["required"]);
            body.message(5, |value| schema(value, &parameter["schema"]));
        }),
        // Numbers of `QueryParameterSubSchema`; a path's has one field less.
        Some("query") => writer.message(2, |writer| {
            writer.message(3, |query| {
                parameter_start(query, parameter);
                query.text(6, &parameter["type"]);
                query.flag(20, &parameter["uniqueItems"]);
            });
        }),
        _ => writer.message(2, |writer| {
            writer.message(4, |path| {
                parameter_start(path, parameter);
                path.text(5, &parameter["type"]);
                path.flag(19, &parameter["uniqueItems"]);
            });
        }),
    }
}

fn parameter_start(writer: &mut Writer, parameter: &Value) {
    writer.flag(1, &parameter["required"]);
    for (number, key) in [(2, "in"), (3, "description"), (4, "name")] {
        writer.text(number, &parameter[key]);
    }
}

fn schema(writer: &mut Writer, schema: &Value) {
    let Value::Object(schema) = schema else { return };
    for (key, value) in schema {
        match key.as_str() {
            "$ref" => writer.text(1, value),
            "format" => writer.text(2, value),
            "title" => writer.text(3, value),
            "description" => writer.text(4, value),
            "default" => writer.message(5, |any| any.yaml(value)),
            "multipleOf" => writer.double(6, value),
            "maximum" => writer.double(7, value),
            "exclusiveMaximum" => writer.flag(8, value),
            "minimum" => writer.double(9, value),
            "exclusiveMinimum" => writer.flag(10, value),
            "maxLength" => writer.integer(11, value),
            "minLength" => writer.integer(12, value),
            "pattern" => writer.text(13, value),
            "maxItems" => writer.integer(14, value),
            "minItems" => writer.integer(15, value),
            "uniqueItems" => writer.flag(16, value),
            "maxProperties" => writer.integer(17, value),
            "minProperties" => writer.integer(18, value),
            "required" => items(value).for_each(|field| writer.text(19, field)),
            "enum" => items(value).for_each(|choice| writer.message(20, |any| any.yaml(choice))),
            "additionalProperties" => writer.message(21, |item| match value {
                Value::Bool(_) => item.flag(2, value),
                values => item.message(1, |item| self::schema(item, values)),
            }),
            "type" => writer.message(22, |kind| kind.text(1, value)),
            "items" => writer.message(23, |item| item.message(1, |item| self::schema(item, value))),
            "properties" => writer.message(25, |properties| {
                for (name, property) in fields(value) {
                    properties.named(1, name, |item| self::schema(item, property));
                }
            }),
            _ => {}
        }
    }
    extensions(writer, 31, Some(schema));
}

/// Everything that starts with `x-`, as YAML; JSON is YAML.
fn extensions(writer: &mut Writer, number: u32, object: Option<&Map<String, Value>>) {
    for (key, value) in object.into_iter().flatten().filter(|(key, _)| key.starts_with("x-")) {
        writer.named(number, key, |any| any.yaml(value));
    }
}

#[cfg(test)]
mod tests;
