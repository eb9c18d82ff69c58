//! From protobuf to JSON.

use serde_json::{Map, Value};

use crate::list::item_kind;
use crate::messages::{Field, Kind, Message, Type};
use crate::special;
use crate::wire::{Fields, Raw};

pub(crate) const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may lie in each other.
const DEPTH_MAX: usize = 100;

/// Why a body cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not begin with `k8s\0`.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// Not valid protobuf, or not of the message's shape.
    #[error("the protobuf message is malformed")]
    Malformed,
    /// Text that is not UTF-8.
    #[error("the protobuf message has text that is not UTF-8")]
    NotUtf8,
    /// A raw extension that is not JSON.
    #[error("the protobuf message has a raw extension that is not JSON")]
    NotJson,
    /// Messages too deep in each other.
    #[error("the protobuf message exceeds the depth of {DEPTH_MAX}")]
    TooDeep,
    /// A kind without protobuf form.
    #[error("no kind {kind:?} is registered for version {api_version:?} in protobuf")]
    UnknownKind {
        /// As the body says.
        api_version: String,
        /// As the body says.
        kind: String,
    },
}

/// The object in a body of [`MEDIA_TYPE`](crate::MEDIA_TYPE), with `apiVersion` and `kind`.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let unknown = body.strip_prefix(MAGIC).ok_or(DecodeError::NoMagic)?;
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::new(unknown);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Raw::Bytes(bytes)) => type_meta = bytes,
            (2, Raw::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let type_meta = message_by_name("runtime.TypeMeta", type_meta, 0)?;
    let text = |key: &str| type_meta[key].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let mut object = match (message_of(&api_version, &kind), item_kind(&kind)) {
        (Some(message), _) => decode_message(message, raw, 0)?,
        (None, Some(item)) if own_message_of(&api_version, item).is_some() => decode_list(&api_version, item, raw)?,
        _ => return Err(DecodeError::UnknownKind { api_version, kind }),
    };
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn decode_list(api_version: &str, item: &str, raw: &[u8]) -> Result<Map<String, Value>, DecodeError> {
    let message = own_message_of(api_version, item).ok_or(DecodeError::Malformed)?;
    let mut list = Map::from_iter([("metadata".to_owned(), Value::Object(Map::new()))]);
    let mut items = Vec::new();
    let mut fields = Fields::new(raw);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Raw::Bytes(bytes)) => {
                list.insert("metadata".to_owned(), message_by_name("meta.v1.ListMeta", bytes, 0)?);
            }
            (2, Raw::Bytes(bytes)) => items.push(Value::Object(decode_message(message, bytes, 0)?)),
            _ => {}
        }
    }
    list.insert("items".to_owned(), items.into());
    Ok(list)
}

/// The message of a kind. Options of the machinery are served in every group.
pub(crate) fn message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    own_message_of(api_version, kind).or_else(|| Message::find(&format!("meta.v1.{kind}")))
}

/// The message of a kind in its own group.
pub(crate) fn own_message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    // Messages have the group's first word. A custom resource's group may begin like one of these.
    let package = match group {
        "" => "core",
        "rbac.authorization.k8s.io" => "rbac",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        "apps" | "autoscaling" | "batch" | "policy" => group,
        _ => group.strip_suffix(".k8s.io").filter(|word| !word.contains('.'))?,
    };
    Message::find(&format!("{package}.{version}.{kind}"))
}

pub(crate) fn message_by_name(name: &str, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let message = Message::find(name).ok_or(DecodeError::Malformed)?;
    decode_message(message, bytes, depth + 1).map(Value::Object)
}

fn decode_message(message: &Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    let mut object = Map::new();
    let mut fields = Fields::new(bytes);
    while let Some((number, raw)) = fields.next()? {
        // A field that is not known is from a newer client: what it says cannot be kept.
        let Some(field) = message.field(number) else { continue };
        match field.kind {
            Kind::One(of) => {
                let Some(value) = one(of, raw, depth)? else { continue };
                if field.inline {
                    special::inline(&mut object, value);
                } else if !(field.zero_is_absent && is_zero(&value)) {
                    object.insert(field.name.to_owned(), value);
                }
            }
            Kind::List(of) => list(&mut object, field, of, raw, depth)?,
            Kind::Map(of) => {
                let Raw::Bytes(entry) = raw else { return Err(DecodeError::Malformed) };
                let (key, value) = map_entry(of, entry, depth)?;
                let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    map.insert(key, value);
                }
            }
        }
    }
    Ok(object)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    }
}

/// `None` where the value means "absent".
fn one(of: Type, raw: Raw<'_>, depth: usize) -> Result<Option<Value>, DecodeError> {
    Ok(Some(match (of, raw) {
        (Type::Text, Raw::Bytes(bytes)) => std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?.into(),
        (Type::Int, Raw::Varint(value)) => Value::from(value as i64),
        (Type::Bool, Raw::Varint(value)) => (value != 0).into(),
        (Type::Double, Raw::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Type::Bytes, Raw::Bytes(bytes)) => special::base64(bytes),
        (Type::Message(name), Raw::Bytes(bytes)) => match special::decode(name, bytes, depth + 1) {
            Some(value) => return value,
            None => message_by_name(name, bytes, depth)?,
        },
        _ => return Err(DecodeError::Malformed),
    }))
}

fn list(
    object: &mut Map<String, Value>,
    field: &Field,
    of: Type,
    raw: Raw<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else { return Err(DecodeError::Malformed) };
    match (of, raw) {
        // Numbers may be packed into one field.
        (Type::Int | Type::Bool, Raw::Bytes(packed)) => {
            let mut packed = Fields::new(packed);
            while !packed.is_empty() {
                list.extend(one(of, Raw::Varint(packed.varint()?), depth)?);
            }
        }
        (of, raw) => list.extend(one(of, raw, depth)?),
    }
    Ok(())
}

fn map_entry(of: Type, entry: &[u8], depth: usize) -> Result<(String, Value), DecodeError> {
    let mut key = String::new();
    let mut value = None;
    let mut fields = Fields::new(entry);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Bytes(bytes)) => {
                key = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?.to_owned();
            }
            (2, raw) => value = one(of, raw, depth)?,
            _ => {}
        }
    }
    let empty = || match of {
        Type::Text | Type::Bytes => Value::from(""),
        // A time that is none is null in a map: the entry stays.
        Type::Message("meta.v1.Time" | "meta.v1.MicroTime") => Value::Null,
        Type::Message(_) => Value::Object(Map::new()),
        Type::Bool => false.into(),
        Type::Int | Type::Double => 0.into(),
    };
    Ok((key, value.unwrap_or_else(empty)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_decode_to_what_their_json_says() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/spec/roundtrip");
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!("skipped: {} is absent", folder.display());
            return;
        };
        let (mut checked, mut wrong) = (0, Vec::new());
        for path in entries.map(|entry| entry.unwrap().path()) {
            // `after_roundtrip` shows what upstream loses of fields that it does not know.
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.ends_with(".pb") || name.contains("after_roundtrip") {
                continue;
            }
            let object = match decode(&std::fs::read(&path).unwrap()) {
                // Versions that are not served have no messages.
                Err(DecodeError::UnknownKind { .. }) => continue,
                other => other,
            };
            let text = std::fs::read_to_string(path.with_extension("json")).unwrap();
            let mut expected: Value = serde_json::from_str(&text).unwrap();
            drop_empty(&mut expected);
            checked += 1;
            let mut found = object.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            drop_empty(&mut found);
            if found != expected {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                wrong.push(format!("{name}: {}", difference(&found, &expected, "")));
            }
        }
        assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(checked > 50, "{checked}");
    }

    /// Nulls, and empty lists and maps, have no form of their own on the wire.
    fn drop_empty(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.values_mut().for_each(drop_empty);
                map.retain(|_, value| !value.is_null());
            }
            Value::Array(list) => list.iter_mut().for_each(drop_empty),
            _ => {}
        }
    }

    fn difference(a: &Value, b: &Value, path: &str) -> String {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                let different = keys.into_iter().find(|key| a.get(*key) != b.get(*key));
                let Some(key) = different else { return String::new() };
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => difference(a, b, &format!("{path}.{key}")),
                    (a, b) => format!("{path}.{key}: {a:?} instead of {b:?}"),
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let different = (0..a.len()).find(|index| a[*index] != b[*index]).unwrap_or(0);
                difference(&a[different], &b[different], &format!("{path}[{different}]"))
            }
            (a, b) => format!("{path}: {a} instead of {b}"),
        }
    }

    #[test]
    fn bad_bodies_are_refused() {
        assert_eq!(decode(b"{}"), Err(DecodeError::NoMagic));
        assert_eq!(decode(b"k8s\0\x0a\xff"), Err(DecodeError::Malformed));
        let unknown = decode(b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Foo");
        assert!(matches!(unknown, Err(DecodeError::UnknownKind { .. })), "{unknown:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode(&[b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x40".as_slice(), &bytes].concat());
        }
    }
}
