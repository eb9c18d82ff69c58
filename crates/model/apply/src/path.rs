//! Where a field is, in the form that `managedFields` writes and that conflicts name.

use crate::topology::Topology;
use minato_schema::ListType;
use serde_json::{Map, Value};
use std::fmt;

/// One step into an object, kept as `FieldsV1` writes it.
///
/// | form | step |
/// |---|---|
/// | `f:name` | a field of an object |
/// | `k:{"name":"x"}` | the item of a list map with these keys |
/// | `v:"x"` | the item of a set |
/// | `i:0` | an item by its index |
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathElement(Box<str>);

/// Why a list's item cannot be told apart from others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ElementError {
    #[error("associative list with keys may not have non-map elements")]
    NotAnObject,
    #[error("associative list with keys has an element that omits key field {0:?} (and doesn't have default value)")]
    NoKey(String),
}

impl PathElement {
    /// The step into a field.
    pub fn field(name: &str) -> PathElement {
        PathElement(format!("f:{name}").into())
    }

    /// Reads `FieldsV1`'s form; JSON in it is brought into one spelling.
    pub fn parse(text: &str) -> Option<PathElement> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(PathElement(text.into())),
            "k" | "v" => {
                let value: Value = serde_json::from_str(rest).ok()?;
                (kind == "v" || value.is_object()).then(|| PathElement(format!("{kind}:{value}").into()))
            }
            "i" => rest.parse::<i64>().ok().map(|index| PathElement(format!("i:{index}").into())),
            _ => None,
        }
    }

    /// `FieldsV1`'s form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if this is the step into a field.
    pub fn as_field(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }

    /// The step to an item of a list that is a set or has keys.
    pub(crate) fn item(
        list_type: &ListType,
        items: Option<&dyn Topology>,
        item: &Value,
    ) -> Result<PathElement, ElementError> {
        let ListType::Map { keys } = list_type else { return Ok(PathElement(format!("v:{item}").into())) };
        let Value::Object(fields) = item else { return Err(ElementError::NotAnObject) };
        let mut found = Map::new();
        for key in keys {
            let default = || items.and_then(|items| items.field(key)).and_then(|schema| schema.default());
            if let Some(value) = fields.get(&**key).or_else(default) {
                found.insert(key.to_string(), value.clone());
            } else if keys.len() == 1 {
                return Err(ElementError::NoKey(key.to_string()));
            }
        }
        match (found.is_empty(), keys.first()) {
            (true, Some(key)) => Err(ElementError::NoKey(key.to_string())),
            _ => Ok(PathElement(format!("k:{}", Value::Object(found)).into())),
        }
    }
}

impl From<PathElement> for String {
    fn from(element: PathElement) -> String {
        element.0.into()
    }
}

/// `.name`, `[name="x"]`, `[="x"]`, `[0]`
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once(':') {
            Some(("f", name)) => write!(f, ".{name}"),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Some(("v", value)) => write!(f, "[={value}]"),
            Some((_, index)) => write!(f, "[{index}]"),
            None => f.write_str(&self.0),
        }
    }
}

/// `.spec.containers[name="x"].image`
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<PathElement>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

/// How a value divides into fields.
pub(crate) enum Division<'a> {
    /// It is one field.
    Leaf,
    /// By its keys.
    Object(&'a Map<String, Value>),
    /// By its items.
    List { items: &'a [Value], list_type: &'a ListType, schema: Option<&'a dyn Topology> },
}

impl<'a> Division<'a> {
    /// Values without a schema, or of free form, divide by key; their lists are one field.
    pub(crate) fn of(schema: Option<&'a dyn Topology>, value: &'a Value) -> Division<'a> {
        match value {
            Value::Object(fields) if !schema.is_some_and(|schema| schema.is_atomic() || schema.items().is_some()) => {
                Division::Object(fields)
            }
            Value::Array(items) => match schema.and_then(|schema| schema.list_type()) {
                None | Some(ListType::Atomic) => Division::Leaf,
                Some(list_type) => {
                    Division::List { items, list_type, schema: schema.and_then(|schema| schema.items()) }
                }
            },
            _ => Division::Leaf,
        }
    }
}

/// Whether `name` is a field that the schema names, not a free key of a map.
pub(crate) fn is_named(schema: Option<&dyn Topology>, name: &str) -> bool {
    schema.is_some_and(|schema| schema.names(name))
}
