//! From `k8s-openapi`'s JSON Schemas and the table of facts to the compact form.

use crate::{
    facts::{self, Topology},
    kinds::Kind,
    shape::{Alternative, Field, List, ListType, Patch, Scalar, Schema, Shape, Struct},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

const API: &str = "io.k8s.apimachinery.pkg.";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// Every struct compiled so far, so that kinds share `ObjectMeta`, `PodSpec` and the like.
#[derive(Default)]
struct Registry {
    structs: HashMap<Arc<str>, Arc<Struct>>,
    names: HashSet<Arc<str>>,
}

static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();

/// Compiles a kind; `None` where its type has no object schema.
pub(crate) fn definition(kind: &Kind) -> Option<Schema> {
    let name = (kind.definition)();
    let mut generator = generator();
    (kind.generate)(&mut generator);
    let definitions = generator.definitions();
    let registry = REGISTRY.get_or_init(Mutex::default);
    // A panic elsewhere leaves the registry as consistent as before: an entry is complete once its fields are set.
    let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Compiler { definitions, registry: &mut registry }.reference(&name))
}

/// A generator that puts every named type among its definitions.
pub(crate) fn generator() -> SchemaGenerator {
    SchemaGenerator::new(SchemaSettings::draft2020_12())
}

/// The definition that a `$ref` names.
pub(crate) fn referred(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    registry: &'a mut Registry,
}

impl Compiler<'_> {
    fn reference(&mut self, name: &str) -> Schema {
        if let Some(shape) = special(name) {
            return Schema::new(shape);
        }
        if let Some(or) = alternative(name) {
            let schema = self.structure(&format!("{EXTENSIONS}JSONSchemaProps"));
            return Schema::new(Shape::SchemaOr { schema, or });
        }
        let atomic = facts::of(name).is_some_and(|facts| facts.atomic);
        Schema { atomic, ..Schema::new(Shape::Struct(self.structure(name))) }
    }

    fn structure(&mut self, name: &str) -> Arc<Struct> {
        if let Some(known) = self.registry.structs.get(name) {
            return known.clone();
        }
        let definition = self.name(name);
        let structure = Arc::new(Struct { definition: definition.clone(), fields: OnceLock::new() });
        self.registry.structs.insert(definition, structure.clone());
        let properties = self.definitions.get(name).and_then(|schema| schema.get("properties"));
        let mut fields: Vec<Field> = match properties {
            Some(Value::Object(properties)) => {
                properties.iter().map(|(key, value)| self.field(name, key, value)).collect()
            }
            _ => Vec::new(),
        };
        fields.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        structure.fields.get_or_init(|| fields.into_boxed_slice());
        structure
    }

    fn field(&mut self, definition: &str, name: &str, value: &Value) -> Field {
        let facts = facts::of(definition).and_then(|facts| facts.field(name));
        let mut schema = self.value(value, facts.and_then(|facts| facts.topology));
        if let Some(facts) = facts {
            schema.patch = Patch {
                merge: facts.patch.merge,
                replace: facts.patch.replace,
                retain_keys: facts.patch.retain_keys,
                merge_key: facts.patch.merge_key.map(|key| self.name(key)),
            };
        }
        schema.default = facts::default_of(definition, name).map(|value| Arc::new(Value::from(value)));
        let omits_empty = matches!(schema.shape, Shape::List(_) | Shape::Map(_))
            && !self.is_required(definition, name)
            && !facts::is_always_written(definition, name);
        Field { name: self.name(name), schema, omits_empty }
    }

    fn is_required(&self, definition: &str, name: &str) -> bool {
        let required = self.definitions.get(definition).and_then(|schema| schema.get("required"));
        required.and_then(Value::as_array).is_some_and(|required| required.iter().any(|field| field == name))
    }

    fn value(&mut self, value: &Value, topology: Option<Topology>) -> Schema {
        let Value::Object(schema) = value else { return Schema::new(Shape::Any) };
        let mut compiled = match referred(schema) {
            Some(name) => self.reference(name),
            None => self.inline(schema, topology),
        };
        match topology {
            Some(Topology::MapAtomic) => compiled.atomic = true,
            Some(Topology::MapGranular) => compiled.atomic = false,
            _ => {}
        }
        compiled
    }

    fn inline(&mut self, schema: &Map<String, Value>, topology: Option<Topology>) -> Schema {
        let format = schema.get("format").and_then(Value::as_str);
        Schema::new(match (schema.get("type").and_then(Value::as_str), format) {
            (Some("array"), _) => Shape::List(Arc::new(List {
                items: schema.get("items").map_or(Schema::new(Shape::Any), |items| self.value(items, None)),
                list_type: self.list_type(topology),
            })),
            (Some("object"), _) => match schema.get("additionalProperties") {
                Some(values) => Shape::Map(Arc::new(self.value(values, None))),
                None => Shape::Any,
            },
            (Some("string"), Some("byte")) => Shape::Scalar(Scalar::Bytes),
            (Some("string"), _) => Shape::Scalar(Scalar::String),
            (Some("integer"), Some("int32")) => Shape::Scalar(Scalar::Int32),
            (Some("integer"), _) => Shape::Scalar(Scalar::Int64),
            (Some("number"), _) => Shape::Scalar(Scalar::Double),
            (Some("boolean"), _) => Shape::Scalar(Scalar::Bool),
            _ => Shape::Any,
        })
    }

    fn list_type(&mut self, topology: Option<Topology>) -> ListType {
        match topology {
            Some(Topology::ListMap(keys)) => ListType::Map { keys: keys.iter().map(|key| self.name(key)).collect() },
            Some(Topology::ListSet) => ListType::Set,
            _ => ListType::Atomic,
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.registry.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.registry.names.insert(name.clone());
        name
    }
}

/// Types that decode themselves in Go.
fn special(definition: &str) -> Option<Shape> {
    if let Some(name) = definition.strip_prefix(API) {
        return Some(match name {
            "api.resource.Quantity" => Shape::Scalar(Scalar::Quantity),
            "util.intstr.IntOrString" => Shape::Scalar(Scalar::IntOrString),
            "apis.meta.v1.Time" => Shape::Scalar(Scalar::Time),
            "apis.meta.v1.MicroTime" => Shape::Scalar(Scalar::MicroTime),
            "apis.meta.v1.FieldsV1" | "apis.meta.v1.Patch" | "runtime.RawExtension" => Shape::Any,
            _ => return None,
        });
    }
    (definition.strip_prefix(EXTENSIONS)? == "JSON").then_some(Shape::Any)
}

fn alternative(definition: &str) -> Option<Alternative> {
    match definition.strip_prefix(EXTENSIONS)? {
        "JSONSchemaPropsOrBool" => Some(Alternative::Bool),
        "JSONSchemaPropsOrArray" => Some(Alternative::Array),
        "JSONSchemaPropsOrStringArray" => Some(Alternative::StringArray),
        _ => None,
    }
}
