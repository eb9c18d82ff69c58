//! How custom resources divide into fields: by their definition's `openAPIV3Schema`.

use crate::topology::Topology;
use minato_schema::{ListType, Schema, builtin};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// The topology of a custom resource, made once for each version of its definition.
#[derive(Debug, Clone)]
pub struct CustomTopology {
    root: Node,
}

/// One value of a schema.
#[derive(Debug, Clone, Default)]
struct Node {
    properties: BTreeMap<String, Node>,
    /// `additionalProperties`
    additional: Option<Box<Node>>,
    items: Option<Box<Node>>,
    list_type: Option<ListType>,
    atomic: bool,
    default: Option<Value>,
    /// Whether fields that are not declared are kept.
    open: bool,
    /// The metadata of the object itself, or of one that is embedded.
    metadata: Option<&'static Schema>,
}

impl CustomTopology {
    /// Reads the schema of a version. What is not a schema divides as values without a schema do.
    #[must_use]
    pub fn of(schema: &Value) -> CustomTopology {
        let mut root = Node::of(schema);
        root.metadata = metadata();
        root.properties.remove("metadata");
        CustomTopology { root }
    }
}

/// The schema of `metadata`, which every kind has.
fn metadata() -> Option<&'static Schema> {
    builtin("", "v1", "Pod")?.field("metadata")
}

impl Node {
    fn of(schema: &Value) -> Node {
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        let embedded = flag("x-kubernetes-embedded-resource");
        let mut properties: BTreeMap<String, Node> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), Node::of(schema)))
            .collect();
        if embedded {
            for name in ["apiVersion", "kind"] {
                properties.entry(name.to_owned()).or_default();
            }
            properties.remove("metadata");
        }
        let additional = match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) => Some(Box::new(Node::of(values))),
            Some(Value::Bool(true)) => Some(Box::new(Node { open: true, ..Default::default() })),
            _ => None,
        };
        let items = schema.get("items").filter(|items| items.is_object()).map(|items| Box::new(Node::of(items)));
        let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
        let list_type = (text("type") == "array").then(|| match text("x-kubernetes-list-type") {
            "set" => ListType::Set,
            "map" => ListType::Map { keys: keys.filter_map(Value::as_str).map(Arc::from).collect() },
            _ => ListType::Atomic,
        });
        Node {
            properties,
            additional,
            items,
            list_type,
            atomic: text("x-kubernetes-map-type") == "atomic",
            default: schema.get("default").cloned(),
            open: flag("x-kubernetes-preserve-unknown-fields"),
            metadata: embedded.then(metadata).flatten(),
        }
    }

    /// What is declared of objects; scalars and free values declare nothing.
    fn declares(&self) -> bool {
        !self.open && self.additional.is_none() && (!self.properties.is_empty() || self.metadata.is_some())
    }

    fn check(&self, value: &mut Value, path: &str) -> Result<(), String> {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    let here = format!("{path}.{name}");
                    match (name.as_str(), self.metadata) {
                        ("metadata", Some(schema)) => {
                            Topology::check(schema, value).map_err(|why| format!("{here}{why}"))?
                        }
                        _ => match self.properties.get(name).or(self.additional.as_deref()) {
                            Some(inner) => inner.check(value, &here)?,
                            None if self.declares() => return Err(format!("{here}: field not declared in schema")),
                            None => {}
                        },
                    }
                }
                Ok(())
            }
            Value::Array(values) => match &self.items {
                Some(items) => values
                    .iter_mut()
                    .enumerate()
                    .try_for_each(|(at, value)| items.check(value, &format!("{path}[{at}]"))),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl Topology for Node {
    fn field(&self, name: &str) -> Option<&dyn Topology> {
        if let ("metadata", Some(metadata)) = (name, self.metadata) {
            return Some(metadata);
        }
        let inner = self.properties.get(name).or(self.additional.as_deref())?;
        Some(inner)
    }

    fn names(&self, name: &str) -> bool {
        self.properties.contains_key(name) || (name == "metadata" && self.metadata.is_some())
    }

    fn items(&self) -> Option<&dyn Topology> {
        self.items.as_deref().map(|items| items as &dyn Topology)
    }

    fn list_type(&self) -> Option<&ListType> {
        self.list_type.as_ref()
    }

    fn is_atomic(&self) -> bool {
        self.atomic
    }

    fn default(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    fn is_always_there(&self, name: &str) -> bool {
        name == "metadata" && self.metadata.is_some()
    }

    fn check(&self, configuration: &mut Value) -> Result<(), String> {
        Node::check(self, configuration, "")
    }
}

impl Topology for CustomTopology {
    fn field(&self, name: &str) -> Option<&dyn Topology> {
        Topology::field(&self.root, name)
    }

    fn names(&self, name: &str) -> bool {
        self.root.names(name)
    }

    fn items(&self) -> Option<&dyn Topology> {
        Topology::items(&self.root)
    }

    fn list_type(&self) -> Option<&ListType> {
        self.root.list_type()
    }

    fn is_atomic(&self) -> bool {
        self.root.is_atomic()
    }

    fn default(&self) -> Option<&Value> {
        None
    }

    fn is_always_there(&self, name: &str) -> bool {
        self.root.is_always_there(name)
    }

    fn check(&self, configuration: &mut Value) -> Result<(), String> {
        let Value::Object(fields) = &mut *configuration else { return Ok(()) };
        // What every object says of itself is in no schema.
        let said: Vec<(&str, Option<Value>)> =
            ["apiVersion", "kind"].into_iter().map(|name| (name, fields.remove(name))).collect();
        let checked = Node::check(&self.root, configuration, "");
        if let Value::Object(fields) = configuration {
            fields.extend(said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        checked
    }
}

#[cfg(test)]
mod tests {
    use super::CustomTopology;
    use crate::{Apply, ApplyError, apply};
    use serde_json::{Value, json};

    fn gadgets() -> CustomTopology {
        CustomTopology::of(&json!({"type": "object", "properties": {
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer"},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {"type": "object", "properties": {
                        "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"}}}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "words": {"type": "array", "items": {"type": "string"}},
                "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }},
        }}))
    }

    fn gadget(spec: Value) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "g", "labels": {"a": "b"}}, "spec": spec})
    }

    fn run(live: Option<&Value>, spec: Value, manager: &str) -> Result<Value, ApplyError> {
        let request =
            Apply { manager, api_version: "example.com/v1", subresource: "", now: "T1", reset: &[], force: false };
        apply(&gadgets(), live, gadget(spec), &request)
    }

    #[test]
    fn custom_resources_divide_as_their_schema_says() {
        let spec = json!({
            "size": 1, "ports": [{"port": 80, "name": "a"}], "tags": ["x"], "words": ["y"], "whole": {"k": "v"},
            "free": {"any": {"thing": [1]}},
        });
        let object = run(None, spec, "m").expect("it applies");
        assert_eq!(
            object["metadata"]["managedFields"][0]["fieldsV1"],
            json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {
                "f:size": {}, "f:words": {}, "f:whole": {}, "f:tags": {"v:\"x\"": {}}, "f:free": {"f:any": {".": {}, "f:thing": {}}},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}}}})
        );
        let merged = run(Some(&object), json!({"ports": [{"port": 81}], "tags": ["z"]}), "n").expect("it applies");
        assert_eq!(merged["spec"]["tags"], json!(["x", "z"]));
        assert_eq!(merged["spec"]["ports"].as_array().map(Vec::len), Some(2));
        let conflict = run(Some(&object), json!({"words": ["other"]}), "n");
        assert!(matches!(conflict, Err(ApplyError::Conflicts(_))), "{conflict:?}");
    }

    #[test]
    fn fields_that_are_not_declared_are_refused() {
        let refused = |spec: Value| run(None, spec, "m").expect_err("not declared").to_string();
        assert!(refused(json!({"sise": 1})).ends_with(".spec.sise: field not declared in schema"));
        assert!(
            refused(json!({"ports": [{"port": 1, "x": 1}]}))
                .ends_with(".spec.ports[0].x: field not declared in schema")
        );
    }
}
