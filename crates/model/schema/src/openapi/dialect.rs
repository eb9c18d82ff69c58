//! Where OpenAPI v2 and v3 say the same thing differently.

use serde_json::{Map, Value, json};

/// The version of OpenAPI that a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

/// What the server reads and writes.
const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// The body of a request.
pub(super) enum Body {
    /// An object of this definition.
    Object(String),
    /// `DeleteOptions`, which may be left out.
    Optional(String),
    /// A patch of a built-in kind.
    Patch(String),
    /// A patch of a custom resource, which has no strategic merge.
    CustomPatch(String),
}

/// What answers look like.
pub(super) enum Answer {
    /// An object of this definition.
    Object(String),
    /// A list of this definition, or a stream of events.
    List(String),
    /// Text or bytes.
    Text,
}

impl Dialect {
    pub(super) fn reference(self, definition: &str) -> Value {
        match self {
            Dialect::V2 => json!({"$ref": format!("#/definitions/{definition}")}),
            Dialect::V3 => json!({"$ref": format!("#/components/schemas/{definition}")}),
        }
    }

    /// A reference with other keys beside it, which v3 allows only in a wrapper.
    pub(super) fn described_reference(self, definition: &str, mut beside: Map<String, Value>) -> Value {
        let Value::Object(reference) = self.reference(definition) else { return Value::Object(beside) };
        match self {
            Dialect::V2 => beside.extend(reference),
            Dialect::V3 if beside.is_empty() => beside = reference,
            Dialect::V3 => drop(beside.insert("allOf".to_owned(), json!([reference]))),
        }
        Value::Object(beside)
    }

    /// A parameter in a query or path.
    pub(super) fn parameter(self, place: &str, name: &str, kind: &str, description: &str) -> Value {
        let mut parameter = match self {
            Dialect::V2 => {
                json!({"in": place, "name": name, "description": description, "type": kind, "uniqueItems": true})
            }
            Dialect::V3 => json!({
                "in": place, "name": name, "description": description, "schema": {"type": kind, "uniqueItems": true},
            }),
        };
        if place == "path" {
            parameter["required"] = true.into();
        }
        parameter
    }

    /// Adds a body to an operation: v2 has it among the parameters.
    pub(super) fn put_body(self, operation: &mut Map<String, Value>, parameters: &mut Vec<Value>, body: &Body) {
        let (definition, required, types): (_, _, &[&str]) = match body {
            Body::Object(definition) => (definition, true, &["*/*"]),
            Body::Optional(definition) => (definition, false, &["*/*"]),
            Body::Patch(definition) => (definition, true, &PATCHES),
            Body::CustomPatch(definition) => (definition, true, &CUSTOM_PATCHES),
        };
        match self {
            Dialect::V2 => {
                let mut parameter = json!({"in": "body", "name": "body", "schema": self.reference(definition)});
                if required {
                    parameter["required"] = true.into();
                }
                parameters.insert(0, parameter);
                operation.insert("consumes".to_owned(), json!(types));
            }
            Dialect::V3 => {
                let content = content(types.iter().copied(), &self.reference(definition));
                let mut body = json!({"content": content});
                if required {
                    body["required"] = true.into();
                }
                operation.insert("requestBody".to_owned(), body);
            }
        }
    }

    /// Adds the answers to an operation.
    pub(super) fn put_answers(self, operation: &mut Map<String, Value>, answer: &Answer, codes: &[(&str, &str)]) {
        let (schema, types): (Value, Vec<&str>) = match answer {
            Answer::Object(definition) => (self.reference(definition), MEDIA_TYPES.to_vec()),
            Answer::List(definition) => (self.reference(definition), [&MEDIA_TYPES[..], &STREAMS].concat()),
            Answer::Text => (json!({"type": "string"}), vec!["*/*"]),
        };
        let mut responses: Map<String, Value> = codes
            .iter()
            .map(|(code, description)| {
                let response = match self {
                    Dialect::V2 => json!({"description": description, "schema": schema}),
                    Dialect::V3 => {
                        json!({"description": description, "content": content(types.iter().copied(), &schema)})
                    }
                };
                ((*code).to_owned(), response)
            })
            .collect();
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        operation.insert("responses".to_owned(), Value::Object(responses));
        if self == Dialect::V2 {
            operation.insert("produces".to_owned(), json!(types));
            operation.entry("consumes").or_insert_with(|| json!(["*/*"]));
            operation.insert("schemes".to_owned(), json!(["https"]));
        }
    }
}

const CUSTOM_PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

fn content<'a>(types: impl Iterator<Item = &'a str>, schema: &Value) -> Map<String, Value> {
    types.map(|media_type| (media_type.to_owned(), json!({"schema": schema}))).collect()
}
