//! Maps and objects.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::EvalError;
use crate::types::{ObjectType, Type};
use crate::value::{Text, Value};

/// A map, or an object with known fields.
#[derive(Clone, Debug)]
pub struct Map<'a>(pub(crate) Inner<'a>);

#[derive(Clone, Debug)]
pub(crate) enum Inner<'a> {
    /// A JSON object whose values all have one type.
    Json(&'a serde_json::Map<String, Json>, &'a Type),
    /// A JSON object with known fields.
    Object(&'a serde_json::Map<String, Json>, &'a ObjectType),
    /// One that an expression has made.
    Made(Arc<BTreeMap<Key<'a>, Value<'a>>>),
}

/// A key; whole numbers of both kinds are equal where they are the same number.
#[derive(Clone, Debug)]
pub(crate) enum Key<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Text<'a>),
}

impl<'a> Key<'a> {
    pub(crate) fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Uint(value) => Self::Uint(*value),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Self::Int(*value as i64),
            Value::String(text) => Self::String(text.clone()),
            _ => return None,
        })
    }

    fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    fn rank(&self) -> (u8, i128, &str) {
        match self {
            Self::Bool(value) => (0, i128::from(*value), ""),
            Self::Int(value) => (1, i128::from(*value), ""),
            Self::Uint(value) => (1, i128::from(*value), ""),
            Self::String(text) => (2, 0, text),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'a> Map<'a> {
    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Json(map, _) | Inner::Object(map, _) => map.len(),
            Inner::Made(map) => map.len(),
        }
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn field(&self, name: &str) -> Option<Value<'a>> {
        match &self.0 {
            Inner::Json(map, ty) => map.get(name).map(|value| Value::typed(value, ty)),
            Inner::Object(map, object) => {
                let field = object.fields.get(name)?;
                map.get(&field.json).map(|value| Value::typed(value, &field.ty))
            }
            Inner::Made(map) => map.get(&Key::String(Text::from(name.to_owned()))).cloned(),
        }
    }

    pub(crate) fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        match (&self.0, key) {
            (Inner::Json(..) | Inner::Object(..), Value::String(text)) => self.field(text),
            (Inner::Made(map), key) => map.get(&Key::of(key)?).cloned(),
            _ => None,
        }
    }

    /// Keys and values, by key.
    pub(crate) fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match &self.0 {
            Inner::Json(map, ty) => {
                map.iter().map(|(key, value)| (Value::String(Text::Borrowed(key)), Value::typed(value, ty))).collect()
            }
            Inner::Object(map, object) => object
                .fields
                .iter()
                .filter_map(|(name, field)| {
                    let value = map.get(&field.json)?;
                    Some((Value::String(Text::Borrowed(name)), Value::typed(value, &field.ty)))
                })
                .collect(),
            Inner::Made(map) => map.iter().map(|(key, value)| (key.value(), value.clone())).collect(),
        }
    }

    pub(crate) fn equals(&self, other: &Self) -> Result<bool, EvalError> {
        if self.len() != other.len() {
            return Ok(false);
        }
        for (key, value) in self.entries() {
            match other.get(&key) {
                Some(other) if value.equals(&other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}
