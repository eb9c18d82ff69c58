//! From JSON to protobuf.

use serde_json::{Map, Value};

use crate::decode::{MAGIC, own_message_of};
use crate::list::{self, List};
use crate::messages::{Field, Kind, Message, Type};
use crate::special;
use crate::wire::Writer;

/// Why an object cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A kind without protobuf form.
    #[error("no kind {kind:?} is registered for version {api_version:?} in protobuf")]
    UnknownKind {
        /// As the object says.
        api_version: String,
        /// As the object says.
        kind: String,
    },
    /// A value of another type than its field has.
    #[error("the field {field} is not of the type that its protobuf form has")]
    WrongType {
        /// The field's JSON name.
        field: String,
    },
}

/// The body of [`MEDIA_TYPE`](crate::MEDIA_TYPE) for an object with `apiVersion` and `kind`.
///
/// # Errors
/// [`EncodeError`].
pub fn encode(object: &Value) -> Result<Vec<u8>, EncodeError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let Some(item) = list::item_kind(kind)
        && find(api_version, kind).is_none()
        && let (Some(message), Some(Value::Array(items))) = (find(api_version, item), object.get("items"))
    {
        let mut list = List::new();
        items.iter().try_for_each(|item| list.push_message(message, item))?;
        return Ok(list.finish(api_version, kind, object.get("metadata").unwrap_or(&Value::Null)));
    }
    Ok(envelope(api_version, kind, &[&message_bytes(api_version, kind, object)?]))
}

/// Whether objects of a kind have a protobuf form.
#[must_use]
pub fn has_form(api_version: &str, kind: &str) -> bool {
    find(api_version, kind).is_some()
}

/// The message of a kind; those of the machinery are in `v1` and `meta.k8s.io/v1`.
fn find(api_version: &str, kind: &str) -> Option<&'static Message> {
    own_message_of(api_version, kind).or_else(|| {
        matches!(api_version, "v1" | "meta.k8s.io/v1").then(|| Message::find(&format!("meta.v1.{kind}"))).flatten()
    })
}

/// An object without the envelope that names its kind.
pub(crate) fn message_bytes(api_version: &str, kind: &str, object: &Value) -> Result<Vec<u8>, EncodeError> {
    match find(api_version, kind) {
        Some(message) => of_message(message, object),
        None => Err(EncodeError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() }),
    }
}

pub(crate) fn of_message(message: &Message, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let fields = object.as_object().ok_or_else(|| EncodeError::WrongType { field: String::new() })?;
    encode_message(message, fields)
}

/// The magic and a `runtime.Unknown` around `raw`, which is in parts.
pub(crate) fn envelope(api_version: &str, kind: &str, raw: &[&[u8]]) -> Vec<u8> {
    let mut type_meta = Writer::default();
    type_meta.bytes(1, api_version.as_bytes());
    type_meta.bytes(2, kind.as_bytes());
    let mut body = Writer::starting_with(MAGIC);
    body.bytes(1, &type_meta.into_bytes());
    body.parts(2, raw);
    // Encoding and type of the content: Go writes them even when empty.
    body.bytes(3, b"");
    body.bytes(4, b"");
    body.into_bytes()
}

/// A message by its name.
pub(crate) fn encode_by_name(name: &str, value: &Value) -> Option<Vec<u8>> {
    encode_message(Message::find(name)?, value.as_object()?).ok()
}

fn encode_message(message: &Message, object: &Map<String, Value>) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    for field in message.fields() {
        encode_field(&mut writer, field, object)?;
    }
    Ok(writer.into_bytes())
}

fn encode_field(writer: &mut Writer, field: &Field, object: &Map<String, Value>) -> Result<(), EncodeError> {
    let wrong = || EncodeError::WrongType { field: field.name.to_owned() };
    if let (true, Kind::One(Type::Message(name))) = (field.inline, field.kind) {
        let message = Message::find(name).ok_or_else(wrong)?;
        writer.bytes(field.number, &encode_message(message, object)?);
        return Ok(());
    }
    match (field.kind, object.get(field.name).filter(|value| !value.is_null())) {
        (Kind::One(of), Some(value)) => one(writer, field.number, of, value).ok_or_else(wrong),
        (Kind::List(of), Some(Value::Array(items))) => {
            items.iter().try_for_each(|item| one(writer, field.number, of, item)).ok_or_else(wrong)
        }
        (Kind::Map(of), Some(Value::Object(entries))) => {
            let entries = entries.iter().map(|(key, value)| {
                let mut entry = Writer::default();
                entry.bytes(1, key.as_bytes());
                match value {
                    Value::Null => entry.bytes(2, b""),
                    value => one(&mut entry, 2, of, value)?,
                }
                writer.bytes(field.number, &entry.into_bytes());
                Some(())
            });
            entries.collect::<Option<()>>().ok_or_else(wrong)
        }
        (_, None) => Ok(()),
        _ => Err(wrong()),
    }
}

/// Writes a value; `None` if it is not of the type.
fn one(writer: &mut Writer, number: u32, of: Type, value: &Value) -> Option<()> {
    match of {
        Type::Text => writer.bytes(number, value.as_str()?.as_bytes()),
        Type::Int => writer.varint(number, value.as_i64()?.cast_unsigned()),
        Type::Bool => writer.varint(number, u64::from(value.as_bool()?)),
        Type::Double => writer.fixed64(number, value.as_f64()?.to_bits()),
        Type::Bytes => writer.bytes(number, &special::from_base64(value.as_str()?)?),
        Type::Message(name) => {
            let bytes = match special::encode(name, value) {
                Some(bytes) => bytes?,
                None => encode_message(Message::find(name)?, value.as_object()?).ok()?,
            };
            writer.bytes(number, &bytes);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
