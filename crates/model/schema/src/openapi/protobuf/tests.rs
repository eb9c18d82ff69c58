//! The message, read back field by field.

use super::{definition, document, path, shared_parameter};
use serde_json::{Value, json};

/// The values of a field of a message, in order; numbers as little-endian bytes.
fn field(mut message: &[u8], wanted: u64) -> Vec<Vec<u8>> {
    fn varint(message: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = message.split_first().expect("a varint ends");
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => varint(&mut message).to_le_bytes().to_vec(),
            1 => message.split_off(..8).expect("eight bytes").to_vec(),
            2 => {
                let length = usize::try_from(varint(&mut message)).expect("a length");
                message.split_off(..length).expect("the length fits").to_vec()
            }
            other => panic!("wire type {other}"),
        };
        if key >> 3 == wanted {
            found.push(value);
        }
    }
    found
}

fn one(message: &[u8], path: &[u64]) -> Vec<u8> {
    path.iter().fold(message.to_vec(), |message, number| {
        let mut values = field(&message, *number);
        assert_eq!(values.len(), 1, "field {number}");
        values.remove(0)
    })
}

fn text(message: &[u8], path: &[u64]) -> String {
    String::from_utf8(one(message, path)).expect("text")
}

/// A document as a whole, as `v2` puts it together.
fn encoded(whole: &Value) -> Vec<u8> {
    let section = |key: &str, encode: fn(&str, &Value) -> Vec<u8>| -> Vec<u8> {
        super::fields(&whole[key]).flat_map(|(name, value)| encode(name, value)).collect()
    };
    document(
        whole,
        &section("paths", path),
        &section("definitions", definition),
        &section("parameters", shared_parameter),
    )
}

fn whole() -> Value {
    let operation = json!({
        "operationId": "readPod", "tags": ["core_v1"], "x-kubernetes-action": "get",
        "parameters": [
            {"in": "query", "name": "q", "type": "boolean", "uniqueItems": true},
            {"in": "body", "name": "body", "required": true, "schema": {"$ref": "#/definitions/Pod"}},
            {"$ref": "#/parameters/limit"}],
        "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Pod"}}},
    });
    let pod = json!({
        "type": "object", "required": ["spec"], "minProperties": 300,
        "properties": {"spec": {"type": "array", "items": {"$ref": "#/definitions/X"}, "maximum": 1.5}},
        "additionalProperties": {"type": "string"},
        "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}],
    });
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {"/p": {"get": operation, "parameters": [{"in": "path", "name": "n", "required": true, "type": "string"}]}},
        "definitions": {"Pod": pod},
        "parameters": {"limit": {"in": "query", "name": "limit", "type": "integer", "uniqueItems": true}},
        "security": [{"BearerToken": []}],
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
    })
}

#[test]
fn every_part_has_its_number() {
    let message = encoded(&whole());
    assert_eq!(text(&message, &[1]), "2.0");
    assert_eq!(text(&message, &[2, 1]), "Kubernetes");
    assert_eq!(text(&message, &[12, 1, 1]), "BearerToken");
    assert_eq!(text(&message, &[13, 1, 2, 2, 1]), "apiKey");

    let path = one(&message, &[8, 2]);
    assert_eq!(text(&path, &[1]), "/p");
    assert_eq!(text(&path, &[2, 9, 1, 2, 4, 4]), "n");
    let get = one(&path, &[2, 2]);
    assert_eq!(text(&get, &[5]), "readPod");
    assert_eq!(text(&get, &[13, 1]), "x-kubernetes-action");
    assert_eq!(text(&get, &[13, 2, 2]), "\"get\"");
    let parameters = field(&get, 8);
    assert_eq!(text(&parameters[0], &[1, 2, 3, 4]), "q");
    assert_eq!(one(&parameters[0], &[1, 2, 3, 20])[0], 1);
    assert_eq!(text(&parameters[1], &[1, 1, 5, 1]), "#/definitions/Pod");
    assert_eq!(text(&parameters[2], &[2, 1]), "#/parameters/limit");
    assert_eq!(text(&message, &[10, 1, 1]), "limit");
    assert_eq!(text(&message, &[10, 1, 2, 2, 3, 6]), "integer");
    assert_eq!(text(&get, &[9, 1, 1]), "200");
    assert_eq!(text(&get, &[9, 1, 2, 1, 2, 1, 1]), "#/definitions/Pod");

    let definition = one(&message, &[9, 1]);
    assert_eq!(text(&definition, &[1]), "Pod");
    let schema = one(&definition, &[2]);
    assert_eq!(text(&schema, &[22, 1]), "object");
    assert_eq!(text(&schema, &[19]), "spec");
    assert_eq!(one(&schema, &[18])[..2], 300_u16.to_le_bytes());
    assert_eq!(text(&schema, &[21, 1, 22, 1]), "string");
    assert_eq!(text(&schema, &[25, 1, 1]), "spec");
    assert_eq!(text(&schema, &[25, 1, 2, 23, 1, 1]), "#/definitions/X");
    assert_eq!(one(&schema, &[25, 1, 2, 7]), 1.5_f64.to_le_bytes());
    assert_eq!(text(&schema, &[31, 1]), "x-kubernetes-group-version-kind");
    let yaml: Value = serde_json::from_str(&text(&schema, &[31, 2, 2])).expect("JSON");
    assert_eq!(yaml[0]["kind"], "Pod");
}

#[test]
fn an_odd_document_is_no_matter() {
    for document in [json!(null), json!([]), json!({"paths": 1, "definitions": {"a": 5, "b": {"type": 1}}})] {
        encoded(&document);
    }
}
