//! The v2 document, written part by part: of a part nothing stays but its encoding, because a cluster with thousands of
//! custom resources has a document of many megabytes.

use super::{
    KUBERNETES, Resource, bearer_token, definitions::Definitions, dialect::Dialect, parameters, paths, protobuf,
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// How a v2 document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As the specification has it.
    Json,
    /// As `gnostic`'s protobuf message, which kubectl up to 1.26 asks for.
    Protobuf,
}

/// What another server says of its resources. Where it has a name that is there already, that stays: the definitions of
/// Kubernetes' own types have the same names everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// By URL.
    pub paths: &'a Map<String, Value>,
    /// Schemas by name.
    pub definitions: &'a Map<String, Value>,
    /// Those that its paths refer to, by name.
    pub parameters: &'a Map<String, Value>,
}

/// The OpenAPI v2 document of all group versions, with the parts of other servers.
pub fn v2(resources: &[Resource<'_>], others: &[Part<'_>], form: Form) -> Vec<u8> {
    let section = |encode| Section { form, encode, names: HashSet::new(), bytes: Vec::new() };
    let mut paths = section(protobuf::path);
    let mut definitions = section(protobuf::definition);
    let mut parameters = section(protobuf::shared_parameter);
    let mut defined = Definitions::of(resources, Dialect::V2);
    paths::each(resources, Dialect::V2, &mut defined, |path, item| paths.add(&path, &item));
    defined.each(|name, schema| definitions.add(&name, &schema));
    parameters::each_shared(|name, parameter| parameters.add(&name, &parameter));
    for part in others {
        part.paths.iter().for_each(|(path, item)| paths.add(path, item));
        part.definitions.iter().for_each(|(name, schema)| definitions.add(name, schema));
        part.parameters.iter().for_each(|(name, parameter)| parameters.add(name, parameter));
    }
    let frame = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES},
        "securityDefinitions": bearer_token(),
        "security": [{"BearerToken": []}],
    });
    match form {
        Form::Protobuf => protobuf::document(&frame, &paths.bytes, &definitions.bytes, &parameters.bytes),
        Form::Json => {
            let mut document = frame.to_string().into_bytes();
            document.pop();
            for (key, section) in [("paths", paths), ("definitions", definitions), ("parameters", parameters)] {
                document.extend(format!(",\"{key}\":{{").into_bytes());
                document.extend(section.bytes);
                document.push(b'}');
            }
            document.push(b'}');
            document
        }
    }
}

/// A part of the document that has a name for each of its values.
struct Section {
    form: Form,
    /// Writes a value as an entry of the message's map.
    encode: fn(&str, &Value) -> Vec<u8>,
    names: HashSet<String>,
    bytes: Vec<u8>,
}

impl Section {
    fn add(&mut self, name: &str, value: &Value) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        match self.form {
            Form::Protobuf => self.bytes.extend((self.encode)(name, value)),
            Form::Json => {
                let comma = if self.bytes.is_empty() { "" } else { "," };
                self.bytes.extend(format!("{comma}{}:{value}", Value::from(name)).into_bytes());
            }
        }
    }
}
