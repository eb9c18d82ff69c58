//! The values that expressions work on: views of JSON, or made by the expression.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value as Json;

use crate::error::EvalError;
use crate::library::authorizer::{Asked, Authorizer, Decision};
use crate::library::time;
use crate::library::{format::Format, net::Network, semver::Version, url::Url};
use crate::map::{Inner, Key, Map};
use crate::types::{ListKind, ListType, Type};

/// A value; a clone is a pointer copy.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Bool.
    Bool(bool),
    /// Signed.
    Int(i64),
    /// Unsigned.
    Uint(u64),
    /// A float.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Octets.
    Bytes(Arc<[u8]>),
    /// A moment.
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map or an object.
    Map(Map<'a>),
    /// A value, or none.
    Optional(Option<Arc<Value<'a>>>),
    /// A type, by name.
    Type(Arc<str>),
    /// `kubernetes.Quantity`.
    Quantity(minato_quantity::Quantity),
    /// `kubernetes.URL`.
    Url(Arc<Url>),
    /// `net.IP`.
    Ip(std::net::IpAddr),
    /// `net.CIDR`.
    Cidr(Network),
    /// `kubernetes.Semver`.
    Semver(Arc<Version>),
    /// `kubernetes.NamedFormat`.
    Format(&'static Format),
    /// `kubernetes.authorization.Authorizer`: whom to ask about the user.
    Authorizer(&'a dyn Authorizer),
    /// A question to an authorizer that is not yet complete.
    Asked(Arc<Asked<'a>>),
    /// What an authorizer says.
    Decision(Arc<Decision>),
}

/// Text: part of an object, or made.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Part of an object or of the expression.
    Borrowed(&'a str),
    /// Made.
    Made(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

/// A list: of an object, or made.
#[derive(Clone, Debug)]
pub struct List<'a> {
    items: Items<'a>,
    kind: Option<&'a ListKind>,
}

#[derive(Clone, Debug)]
enum Items<'a> {
    Json(&'a [Json], &'a Type),
    Made(Arc<Vec<Value<'a>>>),
}

impl<'a> List<'a> {
    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items, _) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value<'a>> {
        match &self.items {
            Items::Json(items, ty) => items.get(index).map(|item| Value::typed(item, ty)),
            Items::Made(items) => items.get(index).cloned(),
        }
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(crate) fn contains(&self, value: &Value<'a>) -> Result<bool, EvalError> {
        for item in self.iter() {
            if item.equals(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn equals(&self, other: &Self) -> Result<bool, EvalError> {
        if self.len() != other.len() {
            return Ok(false);
        }
        match self.kind.or(other.kind) {
            Some(ListKind::Set | ListKind::Map(_)) => {
                for item in self.iter() {
                    if !other.contains(&item)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => {
                for (left, right) in self.iter().zip(other.iter()) {
                    if !left.equals(&right)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// `self + other`, as the kind of the first has it.
    pub(crate) fn concat(&self, other: &Self) -> Result<Value<'a>, EvalError> {
        let mut items: Vec<Value<'a>> = self.iter().collect();
        match self.kind {
            Some(ListKind::Set) => {
                for item in other.iter() {
                    if !self.contains(&item)? {
                        items.push(item);
                    }
                }
            }
            Some(ListKind::Map(keys)) => {
                for item in other.iter() {
                    let mut place = None;
                    for (index, have) in items.iter().enumerate() {
                        if same_keys(have, &item, keys)? {
                            place = Some(index);
                        }
                    }
                    match place {
                        Some(index) => items[index] = item,
                        None => items.push(item),
                    }
                }
            }
            _ => items.extend(other.iter()),
        }
        Ok(Value::List(Self { items: Items::Made(Arc::new(items)), kind: self.kind }))
    }
}

fn same_keys<'a>(left: &Value<'a>, right: &Value<'a>, keys: &[String]) -> Result<bool, EvalError> {
    let (Value::Map(left), Value::Map(right)) = (left, right) else { return Ok(false) };
    for key in keys {
        let same = match (left.field(key), right.field(key)) {
            (Some(left), Some(right)) => left.equals(&right)?,
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

impl<'a> Value<'a> {
    /// A view of JSON whose types are what they look like.
    #[must_use]
    pub fn of(json: &'a Json) -> Self {
        Self::typed(json, Type::dynamic())
    }

    /// A view of JSON that is of this type.
    #[must_use]
    pub fn typed(json: &'a Json, ty: &'a Type) -> Self {
        match (json, ty) {
            (Json::Null, _) => Self::Null,
            (Json::Bool(value), _) => Self::Bool(*value),
            (Json::Number(number), Type::Double) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            (Json::Number(number), _) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => {
                    let value = number.as_f64().unwrap_or(f64::NAN);
                    // An integer field may be written as 1.0.
                    match ty {
                        Type::Int if value.fract() == 0.0 => Self::Int(value as i64),
                        _ => Self::Double(value),
                    }
                }
            },
            (Json::String(text), Type::Timestamp) => {
                text.parse().map_or(Self::String(Text::Borrowed(text)), Self::Timestamp)
            }
            (Json::String(text), Type::Duration) => {
                time::parse_duration(text).map_or(Self::String(Text::Borrowed(text)), Self::Duration)
            }
            (Json::String(text), Type::Bytes) => {
                STANDARD.decode(text).map_or(Self::String(Text::Borrowed(text)), |bytes| Self::Bytes(bytes.into()))
            }
            (Json::String(text), _) => Self::String(Text::Borrowed(text)),
            (Json::Array(items), Type::List(list)) => {
                let ListType { element, kind } = &**list;
                Self::List(List { items: Items::Json(items, element), kind: Some(kind) })
            }
            (Json::Array(items), _) => Self::List(List { items: Items::Json(items, Type::dynamic()), kind: None }),
            (Json::Object(map), Type::Map(ty)) => Self::Map(Map(Inner::Json(map, &ty.value))),
            (Json::Object(map), Type::Object(object)) => Self::Map(Map(Inner::Object(map, object))),
            (Json::Object(map), _) => Self::Map(Map(Inner::Json(map, Type::dynamic()))),
        }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::String(Text::from(text.into()))
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List { items: Items::Made(Arc::new(items)), kind: None })
    }

    pub(crate) fn map(entries: std::collections::BTreeMap<Key<'a>, Value<'a>>) -> Self {
        Self::Map(Map(Inner::Made(Arc::new(entries))))
    }

    pub(crate) fn optional(value: Option<Value<'a>>) -> Self {
        Self::Optional(value.map(Arc::new))
    }

    /// The value of a bool.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What cost depends on: characters, octets, items; 1 for what has no size.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            _ => 1,
        }
    }

    /// The name of its type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::Asked(asked) => asked.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// `==`: numbers of different kinds are equal where they are the same number, values of other different kinds never.
    pub(crate) fn equals(&self, other: &Self) -> Result<bool, EvalError> {
        Ok(match (self, other) {
            (Self::List(left), Self::List(right)) => left.equals(right)?,
            (Self::Map(left), Self::Map(right)) => left.equals(right)?,
            (Self::Optional(left), Self::Optional(right)) => match (left, right) {
                (Some(left), Some(right)) => left.equals(right)?,
                (left, right) => left.is_none() && right.is_none(),
            },
            (Self::Null, Self::Null) => true,
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Type(left), Self::Type(right)) => left == right,
            (Self::Url(left), Self::Url(right)) => left == right,
            (Self::Ip(left), Self::Ip(right)) => left == right,
            (Self::Cidr(left), Self::Cidr(right)) => left == right,
            (Self::Semver(left), Self::Semver(right)) => left == right,
            (Self::Format(left), Self::Format(right)) => left.name == right.name,
            (left, right) => left.order(right) == Some(Ordering::Equal),
        })
    }

    /// How two values of an ordered type compare; numbers also across kinds.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(right)),
            (Self::Uint(left), Self::Uint(right)) => Some(left.cmp(right)),
            (Self::Int(left), Self::Uint(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
            (Self::Uint(left), Self::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
            (Self::Double(left), Self::Double(right)) => left.partial_cmp(right),
            (Self::Double(left), Self::Int(right)) => {
                whole_with_double(i128::from(*right), *left).map(Ordering::reverse)
            }
            (Self::Double(left), Self::Uint(right)) => {
                whole_with_double(i128::from(*right), *left).map(Ordering::reverse)
            }
            (Self::Int(left), Self::Double(right)) => whole_with_double(i128::from(*left), *right),
            (Self::Uint(left), Self::Double(right)) => whole_with_double(i128::from(*left), *right),
            (Self::String(left), Self::String(right)) => Some((**left).cmp(right)),
            (Self::Bytes(left), Self::Bytes(right)) => Some(left.cmp(right)),
            (Self::Timestamp(left), Self::Timestamp(right)) => Some(left.cmp(right)),
            (Self::Duration(left), Self::Duration(right)) => Some(left.cmp(right)),
            (Self::Quantity(left), Self::Quantity(right)) => Some(left.cmp(right)),
            (Self::Semver(left), Self::Semver(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }

    /// As JSON; types without a JSON form are an error.
    ///
    /// # Errors
    /// [`EvalError::Function`].
    pub fn to_json(&self) -> Result<Json, EvalError> {
        Ok(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Double(value) => serde_json::Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::String(text) => (**text).into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Timestamp(at) => time::format_timestamp(*at).into(),
            Self::Duration(nanos) => time::format_duration(*nanos).into(),
            Self::List(list) => Json::Array(list.iter().map(|item| item.to_json()).collect::<Result<_, _>>()?),
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                for (key, value) in map.entries() {
                    let key = match key {
                        Value::String(text) => text.to_string(),
                        Value::Int(value) => value.to_string(),
                        Value::Uint(value) => value.to_string(),
                        Value::Bool(value) => value.to_string(),
                        _ => return Err(EvalError::of("unsupported map key for JSON")),
                    };
                    object.insert(key, value.to_json()?);
                }
                Json::Object(object)
            }
            Self::Optional(Some(value)) => value.to_json()?,
            Self::Quantity(quantity) => quantity.to_string().into(),
            Self::Ip(ip) => ip.to_string().into(),
            Self::Cidr(cidr) => cidr.to_string().into(),
            other => {
                return Err(EvalError::of(format!("type conversion error from '{}' to 'JSON'", other.type_name())));
            }
        })
    }
}

/// Exact: a double is not rounded to a whole number, nor the number to a double.
fn whole_with_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= 1e30 {
        return Some(Ordering::Less);
    }
    if double <= -1e30 {
        return Some(Ordering::Greater);
    }
    let floor = double.floor();
    Some(match whole.cmp(&(floor as i128)) {
        Ordering::Equal if double > floor => Ordering::Less,
        order => order,
    })
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&crate::library::numbers::format_double(*value)),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
            other => match other.to_json() {
                Ok(json) => write!(f, "{json}"),
                Err(_) => f.write_str(other.type_name()),
            },
        }
    }
}
