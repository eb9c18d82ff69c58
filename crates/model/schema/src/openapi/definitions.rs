//! The schemas of a document: `k8s-openapi`'s definitions with the facts added, lists, custom resources.

mod custom;

use super::{Resource, dialect::Dialect};
use crate::{
    compile::{self, referred},
    facts::{self, Topology},
    kinds,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The definitions of a document, growing as paths refer to more of them.
pub(super) struct Definitions {
    dialect: Dialect,
    generator: SchemaGenerator,
    /// Made here, not by the generator: lists and custom resources.
    made: BTreeMap<String, Value>,
    /// Group, version and kind of definitions that are bodies.
    kinds: BTreeMap<String, BTreeSet<(String, String, String)>>,
    group_versions: BTreeSet<(String, String)>,
}

impl Definitions {
    pub(super) fn of(resources: &[Resource<'_>], dialect: Dialect) -> Definitions {
        let own = |resource: &Resource<'_>| (resource.group.to_owned(), resource.version.to_owned());
        let group_versions = resources.iter().map(own).chain([(String::new(), "v1".to_owned())]).collect();
        Definitions {
            dialect,
            generator: compile::generator(),
            made: BTreeMap::new(),
            kinds: BTreeMap::new(),
            group_versions,
        }
    }

    /// The definition of a resource's objects.
    pub(super) fn resource(&mut self, resource: &Resource<'_>) -> Option<String> {
        let Some(schema) = resource.schema else { return self.kind(resource.group, resource.version, resource.kind) };
        let name = custom::name(resource);
        if !self.made.contains_key(&name) {
            self.meta::<meta::ObjectMeta>("ObjectMeta");
            self.made.insert(name.clone(), custom::definition(resource, schema, self.dialect));
        }
        Some(name)
    }

    /// The definition of a built-in kind.
    pub(super) fn kind(&mut self, group: &str, version: &str, kind: &str) -> Option<String> {
        let row = kinds::find(group, version, kind)?;
        (row.generate)(&mut self.generator);
        let name = (row.definition)().into_owned();
        let gvk = (group.to_owned(), version.to_owned(), kind.to_owned());
        self.kinds.entry(name.clone()).or_default().insert(gvk);
        Some(name)
    }

    /// The definition of lists of a resource's objects.
    pub(super) fn list(&mut self, resource: &Resource<'_>) -> Option<String> {
        let item = self.resource(resource)?;
        let list_meta = self.meta::<meta::ListMeta>("ListMeta");
        let (list, kind) = (format!("{item}List"), format!("{}List", resource.kind));
        if self.made.contains_key(&list) {
            return Some(list);
        }
        let described = |text: &str| Map::from_iter([("description".to_owned(), Value::from(text))]);
        let definition = json!({
            "description": format!("{kind} is a list of {}", resource.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": self.dialect.described_reference(&list_meta, described("Standard list metadata.")),
                "items": {
                    "type": "array",
                    "description": format!("List of {}.", resource.plural),
                    "items": self.dialect.reference(&item),
                },
            },
            "x-kubernetes-group-version-kind": [
                {"group": resource.group, "version": resource.version, "kind": kind},
            ],
        });
        self.made.insert(list.clone(), definition);
        Some(list)
    }

    pub(super) fn status(&mut self) -> String {
        self.kind("", "v1", "Status").unwrap_or_else(|| self.meta::<meta::Status>("Status"))
    }

    pub(super) fn patch(&mut self) -> String {
        self.meta::<meta::Patch>("Patch")
    }

    pub(super) fn delete_options(&mut self) -> String {
        let name = self.meta::<meta::DeleteOptions>("DeleteOptions");
        let all = self
            .group_versions
            .iter()
            .map(|(group, version)| (group.clone(), version.clone(), "DeleteOptions".to_owned()));
        self.kinds.insert(name.clone(), all.collect());
        name
    }

    pub(super) fn resource_list(&mut self) -> String {
        let name = self.meta::<meta::APIResourceList>("APIResourceList");
        let gvk = (String::new(), "v1".to_owned(), "APIResourceList".to_owned());
        self.kinds.entry(name.clone()).or_default().insert(gvk);
        name
    }

    fn meta<T: JsonSchema>(&mut self, name: &str) -> String {
        self.generator.subschema_for::<T>();
        format!("{META}{name}")
    }

    /// Gives `sink` all definitions that were asked for, and what they refer to.
    pub(super) fn each(self, mut sink: impl FnMut(String, Value)) {
        for (name, schema) in self.generator.definitions() {
            if let Value::Object(schema) = schema {
                let kinds = self.kinds.get(name);
                sink(name.clone(), definition(self.dialect, name, schema, kinds));
            }
        }
        self.made.into_iter().for_each(|(name, schema)| sink(name, schema));
    }
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should \
    convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this \
    from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

fn definition(
    dialect: Dialect,
    name: &str,
    schema: &Map<String, Value>,
    kinds: Option<&BTreeSet<(String, String, String)>>,
) -> Value {
    let mut made = special(dialect, name).unwrap_or_default();
    if let Some(description) = schema.get("description") {
        made.insert("description".to_owned(), description.clone());
    }
    if is_special(name) {
        return Value::Object(made);
    }
    made.insert("type".to_owned(), "object".into());
    let required = facts::required_of(name, schema.get("required"));
    if !required.is_empty() {
        made.insert("required".to_owned(), required.into());
    }
    let facts = facts::of(name);
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let properties = properties.iter().map(|(field, schema)| {
            let facts = facts.and_then(|facts| facts.field(field));
            let mut property = value(dialect, schema);
            if let Value::Object(property) = &mut property {
                extend(property, facts);
                if let (Dialect::V3, Some(default)) = (dialect, facts::default_of(name, field)) {
                    property.insert("default".to_owned(), default.into());
                }
            }
            (field.clone(), property)
        });
        made.insert("properties".to_owned(), Value::Object(properties.collect()));
    }
    if facts.is_some_and(|facts| facts.atomic) {
        made.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    if let Some(union) = facts.and_then(|facts| facts.union) {
        made.insert("x-kubernetes-unions".to_owned(), json!([union_of(union)]));
    }
    if let Some(kinds) = kinds {
        let kinds =
            kinds.iter().map(|(group, version, kind)| json!({"group": group, "version": version, "kind": kind}));
        made.insert("x-kubernetes-group-version-kind".to_owned(), kinds.collect());
    }
    Value::Object(made)
}

fn union_of(union: facts::Union) -> Value {
    let fields: Map<String, Value> =
        union.fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).into())).collect();
    match union.discriminator {
        Some(discriminator) => json!({"discriminator": discriminator, "fields-to-discriminateBy": fields}),
        None => json!({"fields-to-discriminateBy": fields}),
    }
}

/// Adds how a field merges.
fn extend(property: &mut Map<String, Value>, facts: Option<&facts::Field>) {
    let Some(facts) = facts else { return };
    let mut put = |key: &str, value: Value| drop(property.insert(format!("x-kubernetes-{key}"), value));
    match facts.topology {
        Some(Topology::ListMap(keys)) => {
            put("list-type", "map".into());
            put("list-map-keys", json!(keys));
        }
        Some(Topology::ListSet) => put("list-type", "set".into()),
        Some(Topology::ListAtomic) => put("list-type", "atomic".into()),
        Some(Topology::MapAtomic) => put("map-type", "atomic".into()),
        Some(Topology::MapGranular) => put("map-type", "granular".into()),
        None => {}
    }
    if let Some(strategy) = facts.patch.strategy() {
        put("patch-strategy", strategy.into());
    }
    if let Some(key) = facts.patch.merge_key {
        put("patch-merge-key", key.into());
    }
}

/// The schema of a field, item or map value.
fn value(dialect: Dialect, schema: &Value) -> Value {
    let Value::Object(schema) = schema else { return json!({}) };
    let mut made: Map<String, Value> = ["description", "type", "format"]
        .into_iter()
        .filter_map(|key| schema.get(key).map(|value| (key.to_owned(), value.clone())))
        .collect();
    if let Some(name) = referred(schema) {
        return dialect.described_reference(name, made);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            made.insert(key.to_owned(), value(dialect, inner));
        }
    }
    Value::Object(made)
}

fn is_special(name: &str) -> bool {
    special(Dialect::V2, name).is_some()
}

/// What the definitions of types that encode themselves say, besides their description.
fn special(dialect: Dialect, name: &str) -> Option<Map<String, Value>> {
    let value = match name.strip_prefix("io.k8s.apimachinery.pkg.") {
        Some("api.resource.Quantity") => match dialect {
            Dialect::V2 => json!({"type": "string"}),
            Dialect::V3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        },
        Some("util.intstr.IntOrString") => match dialect {
            Dialect::V2 => json!({"type": "string", "format": "int-or-string"}),
            Dialect::V3 => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        },
        Some("apis.meta.v1.Time" | "apis.meta.v1.MicroTime") => json!({"type": "string", "format": "date-time"}),
        Some("apis.meta.v1.FieldsV1" | "apis.meta.v1.Patch" | "runtime.RawExtension") => json!({"type": "object"}),
        _ => match name.strip_prefix(EXTENSIONS)? {
            "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => json!({}),
            _ => return None,
        },
    };
    match value {
        Value::Object(value) => Some(value),
        _ => None,
    }
}
