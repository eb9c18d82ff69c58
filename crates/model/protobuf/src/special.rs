//! Messages whose JSON is not an object of their fields: times, quantities, raw JSON, unions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::decode::{DecodeError, message_by_name};
use crate::encode::encode_by_name;
use crate::wire::{Fields, Raw, Writer};

/// The JSON of a message that has a form of its own. `None`: it has none. `Some(None)`: it means "absent".
pub(crate) fn decode(name: &str, bytes: &[u8], depth: usize) -> Option<Result<Option<Value>, DecodeError>> {
    Some(match name {
        "meta.v1.Time" | "meta.v1.Timestamp" => time(bytes, 0),
        "meta.v1.MicroTime" => time(bytes, 6),
        "meta.v1.Duration" => duration(bytes),
        "api.resource.Quantity" | "resource.Quantity" => text_at(bytes, 1).map(|text| text.map(Value::from)),
        "util.intstr.IntOrString" => int_or_string(bytes),
        "meta.v1.FieldsV1" | "runtime.RawExtension" | "apiextensions.v1.JSON" => raw_json(bytes),
        "meta.v1.Verbs"
        | "authentication.v1.ExtraValue"
        | "authorization.v1.ExtraValue"
        | "certificates.v1.ExtraValue" => items(bytes),
        "apiextensions.v1.JSONSchemaPropsOrArray" | "apiextensions.v1.JSONSchemaPropsOrStringArray" => {
            schema_or(name, bytes, depth)
        }
        "apiextensions.v1.JSONSchemaPropsOrBool" => schema_or(name, bytes, depth),
        _ => return None,
    })
}

fn each(bytes: &[u8], mut field: impl FnMut(u32, Raw<'_>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut fields = Fields::new(bytes);
    while let Some((number, raw)) = fields.next()? {
        field(number, raw)?;
    }
    Ok(())
}

fn text(raw: &[u8]) -> Result<String, DecodeError> {
    String::from_utf8(raw.to_vec()).map_err(|_| DecodeError::NotUtf8)
}

fn text_at(bytes: &[u8], wanted: u32) -> Result<Option<String>, DecodeError> {
    let mut found = None;
    each(bytes, |number, raw| {
        if let (true, Raw::Bytes(raw)) = (number == wanted, raw) {
            found = Some(text(raw)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Seconds and nanoseconds; the zero time is Go's "no time".
fn time(bytes: &[u8], digits: usize) -> Result<Option<Value>, DecodeError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    each(bytes, |number, raw| {
        match (number, raw) {
            (1, Raw::Varint(value)) => seconds = value as i64,
            (2, Raw::Varint(value)) => nanos = value as i64,
            _ => {}
        }
        Ok(())
    })?;
    if seconds == 0 && nanos == 0 {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos).map_err(|_| DecodeError::Malformed)?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| DecodeError::Malformed)?;
    let form = if digits == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
    Ok(Some(time.strftime(form).to_string().into()))
}

fn duration(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let mut nanos = 0i64;
    each(bytes, |number, raw| {
        if let (1, Raw::Varint(value)) = (number, raw) {
            nanos = value as i64;
        }
        Ok(())
    })?;
    Ok(Some(format!("{}s", nanos as f64 / 1e9).into()))
}

fn int_or_string(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let (mut is_text, mut int, mut string) = (false, 0i64, String::new());
    each(bytes, |number, raw| {
        match (number, raw) {
            (1, Raw::Varint(value)) => is_text = value == 1,
            (2, Raw::Varint(value)) => int = i64::from(value as i32),
            (3, Raw::Bytes(raw)) => string = text(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some(if is_text { string.into() } else { int.into() }))
}

fn raw_json(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let mut value = None;
    each(bytes, |number, raw| {
        if let (1, Raw::Bytes(raw)) = (number, raw)
            && !raw.is_empty()
        {
            value = Some(serde_json::from_slice(raw).map_err(|_| DecodeError::NotJson)?);
        }
        Ok(())
    })?;
    Ok(value)
}

fn items(bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    let mut items = Vec::new();
    each(bytes, |number, raw| {
        if let (1, Raw::Bytes(raw)) = (number, raw) {
            items.push(Value::from(text(raw)?));
        }
        Ok(())
    })?;
    Ok(Some(items.into()))
}

/// A JSON schema, or instead of it a truth value, a list of schemas, or a list of names.
fn schema_or(name: &str, bytes: &[u8], depth: usize) -> Result<Option<Value>, DecodeError> {
    let (mut schema, mut allows, mut list) = (None, false, Vec::new());
    let schema_number = if name.ends_with("OrBool") { 2 } else { 1 };
    each(bytes, |number, raw| {
        match (number, raw) {
            (number, Raw::Bytes(raw)) if number == schema_number => {
                schema = Some(message_by_name("apiextensions.v1.JSONSchemaProps", raw, depth)?);
            }
            (1, Raw::Varint(value)) => allows = value != 0,
            (2, Raw::Bytes(raw)) if name.ends_with("OrStringArray") => list.push(Value::from(text(raw)?)),
            (2, Raw::Bytes(raw)) => {
                list.push(message_by_name("apiextensions.v1.JSONSchemaProps", raw, depth)?);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some(match schema {
        Some(schema) => schema,
        None if schema_number == 2 => allows.into(),
        None => list.into(),
    }))
}

/// Bytes as JSON has them.
pub(crate) fn base64(raw: &[u8]) -> Value {
    STANDARD.encode(raw).into()
}

/// The bytes that JSON has as base64.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The message for the JSON of a type that has a form of its own. `None`: it has none. `Some(None)`: the JSON is not of
/// that form.
pub(crate) fn encode(name: &str, value: &Value) -> Option<Option<Vec<u8>>> {
    Some(match name {
        "meta.v1.Time" | "meta.v1.Timestamp" | "meta.v1.MicroTime" => to_time(value),
        "meta.v1.Duration" => to_duration(value),
        "api.resource.Quantity" | "resource.Quantity" => value.as_str().map(|text| {
            let mut writer = Writer::default();
            writer.bytes(1, text.as_bytes());
            writer.into_bytes()
        }),
        "util.intstr.IntOrString" => to_int_or_string(value),
        "meta.v1.FieldsV1" | "runtime.RawExtension" | "apiextensions.v1.JSON" => {
            let mut writer = Writer::default();
            writer.bytes(1, value.to_string().as_bytes());
            Some(writer.into_bytes())
        }
        "meta.v1.Verbs"
        | "authentication.v1.ExtraValue"
        | "authorization.v1.ExtraValue"
        | "certificates.v1.ExtraValue" => to_items(value),
        "apiextensions.v1.JSONSchemaPropsOrArray"
        | "apiextensions.v1.JSONSchemaPropsOrStringArray"
        | "apiextensions.v1.JSONSchemaPropsOrBool" => to_schema_or(name, value),
        _ => return None,
    })
}

fn to_time(value: &Value) -> Option<Vec<u8>> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    let mut writer = Writer::default();
    writer.varint(1, time.as_second().cast_unsigned());
    writer.varint(2, i64::from(time.subsec_nanosecond()).cast_unsigned());
    Some(writer.into_bytes())
}

fn to_duration(value: &Value) -> Option<Vec<u8>> {
    let seconds: f64 = value.as_str()?.strip_suffix('s')?.parse().ok()?;
    let mut writer = Writer::default();
    writer.varint(1, ((seconds * 1e9) as i64).cast_unsigned());
    Some(writer.into_bytes())
}

fn to_int_or_string(value: &Value) -> Option<Vec<u8>> {
    let (kind, int, text) = match value {
        Value::String(text) => (1, 0, text.as_str()),
        other => (0, other.as_i64()?, ""),
    };
    let mut writer = Writer::default();
    writer.varint(1, kind);
    writer.varint(2, int.cast_unsigned());
    writer.bytes(3, text.as_bytes());
    Some(writer.into_bytes())
}

fn to_items(value: &Value) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    for item in value.as_array()? {
        writer.bytes(1, item.as_str()?.as_bytes());
    }
    Some(writer.into_bytes())
}

fn to_schema_or(name: &str, value: &Value) -> Option<Vec<u8>> {
    const SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";
    let mut writer = Writer::default();
    match value {
        Value::Bool(allows) => writer.varint(1, u64::from(*allows)),
        Value::Object(_) if name.ends_with("OrBool") => {
            writer.varint(1, 1);
            writer.bytes(2, &encode_by_name(SCHEMA, value)?);
        }
        Value::Object(_) => writer.bytes(1, &encode_by_name(SCHEMA, value)?),
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => writer.bytes(2, text.as_bytes()),
                    other => writer.bytes(2, &encode_by_name(SCHEMA, other)?),
                }
            }
        }
        _ => return None,
    }
    Some(writer.into_bytes())
}

/// Adds the fields of an inlined struct to its parent.
pub(crate) fn inline(parent: &mut Map<String, Value>, value: Value) {
    if let Value::Object(fields) = value {
        parent.extend(fields);
    }
}
