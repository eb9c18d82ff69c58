//! The types that expressions are checked against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type of CEL, or one that Kubernetes adds.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Known when the expression runs.
    Dyn,
    /// The type of `null`.
    Null,
    /// Bool.
    Bool,
    /// 64 bits, signed.
    Int,
    /// 64 bits, unsigned.
    Uint,
    /// 64 bits, IEEE 754.
    Double,
    /// Unicode text.
    String,
    /// Octets; base64 in JSON.
    Bytes,
    /// A moment; RFC 3339 in JSON.
    Timestamp,
    /// A span of time; like `1h30m` in JSON.
    Duration,
    /// A list.
    List(Arc<ListType>),
    /// A map.
    Map(Arc<MapType>),
    /// An object with known fields.
    Object(Arc<ObjectType>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// The type of a type.
    Type(Arc<Type>),
    /// One of the libraries' types, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type parameter of a function.
    Parameter(u8),
    /// The type of what has been complained about already.
    Error,
}

/// How the items of a list are told apart (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// By position.
    Atomic,
    /// No item twice: order does not matter to equality, `+` is a union.
    Set,
    /// By the values of these fields: order does not matter to equality, `+` replaces.
    Map(Vec<String>),
}

/// A list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListType {
    /// Of its items.
    pub element: Type,
    /// How they are told apart.
    pub kind: ListKind,
}

/// A map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapType {
    /// Of its keys.
    pub key: Type,
    /// Of its values.
    pub value: Type,
}

/// An object with known fields.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectType {
    /// As messages name it.
    pub name: String,
    /// By the names that expressions use: escaped where a property's name is no identifier.
    pub fields: BTreeMap<String, Field>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The property's name in JSON.
    pub json: String,
    /// Its type.
    pub ty: Type,
}

static DYN: Type = Type::Dyn;

impl Type {
    /// Whether values of the type have an order.
    pub(crate) fn is_comparable(&self) -> bool {
        matches!(
            self,
            Self::Dyn
                | Self::Error
                | Self::Parameter(_)
                | Self::Bool
                | Self::Int
                | Self::Uint
                | Self::Double
                | Self::String
                | Self::Bytes
                | Self::Timestamp
                | Self::Duration
                | Self::Opaque(_)
        )
    }

    /// A list whose items are told apart by position.
    #[must_use]
    pub fn list(element: Type) -> Self {
        Self::List(Arc::new(ListType { element, kind: ListKind::Atomic }))
    }

    /// A list of this kind.
    #[must_use]
    pub fn list_of(element: Type, kind: ListKind) -> Self {
        Self::List(Arc::new(ListType { element, kind }))
    }

    /// A map with keys of text.
    #[must_use]
    pub fn map(value: Type) -> Self {
        Self::map_of(Type::String, value)
    }

    pub(crate) fn map_of(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(MapType { key, value }))
    }

    /// An object with these properties, under their [`escape`]d names.
    #[must_use]
    pub fn object(name: impl Into<String>, fields: impl IntoIterator<Item = (String, Type)>) -> Self {
        let fields = fields.into_iter().filter_map(|(json, ty)| Some((escape(&json)?, Field { json, ty }))).collect();
        Self::Object(Arc::new(ObjectType { name: name.into(), fields }))
    }

    /// An object of Kubernetes' own, whose fields expressions name as they are.
    pub(crate) fn native(name: &str, fields: impl IntoIterator<Item = (String, Type)>) -> Self {
        let fields = fields.into_iter().map(|(json, ty)| (json.clone(), Field { json, ty })).collect();
        Self::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
    }

    /// A number or a text (`x-kubernetes-int-or-string`).
    #[must_use]
    pub fn int_or_string() -> Self {
        Self::Dyn
    }

    pub(crate) fn dynamic() -> &'static Self {
        &DYN
    }

    pub(crate) fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }
}

/// The name that an expression uses for a property: as it is, or escaped; none where it cannot be named.
#[must_use]
pub fn escape(property: &str) -> Option<String> {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&property) {
        return Some(format!("__{property}__"));
    }
    let mut escaped = String::with_capacity(property.len());
    let mut rest = property;
    while let Some(first) = rest.chars().next() {
        let (text, length) = match first {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            c if c == '_' || c.is_ascii_alphabetic() || (c.is_ascii_digit() && !escaped.is_empty()) => (&rest[..1], 1),
            _ => return None,
        };
        escaped.push_str(text);
        rest = &rest[length..];
    }
    (!escaped.is_empty()).then_some(escaped)
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(list) => write!(f, "list({})", list.element),
            Self::Map(map) => write!(f, "map({}, {})", map.key, map.value),
            Self::Object(object) => f.write_str(&object.name),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Type(inner) => write!(f, "type({inner})"),
            Self::Opaque(name) => f.write_str(name),
            Self::Parameter(index) => write!(f, "{}", char::from(b'A' + index)),
            Self::Error => f.write_str("!error!"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_properties() {
        for (property, expected) in [
            ("name", Some("name")),
            ("namespace", Some("__namespace__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("a__b", Some("a__underscores__b")),
            ("1a", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(escape(property).as_deref(), expected, "{property}");
        }
    }
}
