//! The types of expressions' objects, from OpenAPI (`common.SchemaDeclType`).

use std::collections::HashMap;

use minato_cel::Type;
use serde_json::Value;

use super::VersionedKind;

/// The type of a kind's objects, from the OpenAPI v3 document of its group version.
#[must_use]
pub fn declared_type(document: &Value, kind: &VersionedKind) -> Option<Type> {
    let schemas = document["components"]["schemas"].as_object()?;
    let is_kind = |schema: &Value| {
        let names = schema["x-kubernetes-group-version-kind"].as_array();
        names.into_iter().flatten().any(|name| {
            let text = |key: &str| name[key].as_str().unwrap_or_default();
            text("group") == kind.group && text("version") == kind.version && text("kind") == kind.kind
        })
    };
    let (name, _) = schemas.iter().find(|(_, schema)| is_kind(schema))?;
    let mut reader = Reader { schemas, known: HashMap::new(), open: Vec::new() };
    match reader.definition(name)? {
        Type::Object(object) => {
            let mut fields: Vec<(String, Type)> =
                object.fields.values().map(|field| (field.json.clone(), field.ty.clone())).collect();
            reader.complete(&mut fields);
            Some(Type::object(kind.kind.clone(), fields))
        }
        other => Some(other),
    }
}

/// How deep schemas may lie within each other.
const DEPTH_MAX: usize = 64;

struct Reader<'d> {
    schemas: &'d serde_json::Map<String, Value>,
    known: HashMap<&'d str, Option<Type>>,
    /// The definitions that are being read: one that refers to itself is anything there.
    open: Vec<&'d str>,
}

impl<'d> Reader<'d> {
    fn definition(&mut self, name: &'d str) -> Option<Type> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        if self.open.contains(&name) || self.open.len() >= DEPTH_MAX {
            return Some(Type::Dyn);
        }
        self.open.push(name);
        let schema = self.schemas.get(name);
        let ty = schema.map_or(Some(Type::Dyn), |schema| self.schema(schema, name, 0));
        self.open.pop();
        self.known.insert(name, ty.clone());
        ty
    }

    /// The type of what `schema` describes; none where expressions cannot name it.
    fn schema(&mut self, schema: &'d Value, name: &str, depth: usize) -> Option<Type> {
        if let Some(target) = reference(schema) {
            return self.definition(target);
        }
        let format = schema["format"].as_str().unwrap_or_default();
        let either = schema["x-kubernetes-int-or-string"] == true || format == "int-or-string";
        // A quantity is published as text or number, without a type: it is whatever it turns out to be.
        let Some(kind) = schema["type"].as_str().filter(|_| !either && depth < DEPTH_MAX) else {
            return Some(Type::int_or_string());
        };
        Some(match kind {
            "boolean" => Type::Bool,
            "integer" => Type::Int,
            "number" => Type::Double,
            "string" => match format {
                "byte" => Type::Bytes,
                "duration" => Type::Duration,
                "date" | "date-time" => Type::Timestamp,
                _ => Type::String,
            },
            "array" => Type::list(self.schema(schema.get("items")?, &format!("{name}.@idx"), depth + 1)?),
            "object" => match schema.get("additionalProperties").filter(|values| values.is_object()) {
                Some(values) => Type::map(self.schema(values, &format!("{name}.@elem"), depth + 1)?),
                None => {
                    let mut fields = Vec::new();
                    for (property, value) in schema["properties"].as_object().into_iter().flatten() {
                        if let Some(ty) = self.schema(value, &format!("{name}.{property}"), depth + 1) {
                            fields.push((property.clone(), ty));
                        }
                    }
                    if schema["x-kubernetes-embedded-resource"] == true {
                        self.complete(&mut fields);
                    }
                    Type::object(name, fields)
                }
            },
            _ => return None,
        })
    }

    /// Every resource has these, whether its schema says so or not.
    fn complete(&self, fields: &mut Vec<(String, Type)>) {
        let names = ["name", "generateName"].map(|name| (name.to_owned(), Type::String));
        let metadata = Type::object("metadata", names);
        for (name, ty) in [("apiVersion", Type::String), ("kind", Type::String), ("metadata", metadata)] {
            let says = |(have, found): &(String, Type)| {
                have == name && !matches!(found, Type::Object(object) if object.fields.is_empty())
            };
            if !fields.iter().any(says) {
                fields.retain(|(have, _)| have != name);
                fields.push((name.to_owned(), ty));
            }
        }
    }
}

/// The definition that a schema is: by itself, or with words of its own around it.
fn reference(schema: &Value) -> Option<&str> {
    let target = match schema["allOf"].as_array().map(Vec::as_slice) {
        Some([one]) => one["$ref"].as_str(),
        _ => schema["$ref"].as_str(),
    };
    target?.strip_prefix("#/components/schemas/")
}
