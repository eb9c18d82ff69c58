//! A JSON parser that tells of duplicate keys, in the words of the Go parser that Kubernetes uses.

use crate::place::Place;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};
use std::fmt;

/// Bytes that are not JSON. Nesting beyond 128 levels is refused, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The document ends too early.
    #[error("unexpected end of JSON input")]
    End,
    /// A character that cannot stand where it stands.
    #[error("invalid character {} {context}", quoted(*character))]
    Character {
        /// The character found.
        character: char,
        /// What the parser was doing: `looking for beginning of value`.
        context: &'static str,
    },
    /// Nested too deeply.
    #[error("exceeded max depth")]
    Depth,
    /// Anything else: a number out of range, bytes that are not UTF-8, a bad escape.
    #[error("{0}")]
    Other(String),
}

/// Parses a JSON document. Of duplicate keys the last one counts; the paths of the first hundred
/// (`spec.replicas`, `spec.containers[0].name`) come back beside the value.
pub fn parse_json(bytes: &[u8]) -> Result<(Value, Vec<String>), ParseError> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node { place: &Place::Root, duplicates: &mut duplicates }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| explain(bytes, &error))?;
    Ok((value, duplicates))
}

/// One value of the document and where it stands.
struct Node<'a> {
    place: &'a Place<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            access.next_element_seed(Node { place: &self.place.item(items.len()), duplicates: self.duplicates })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let place = self.place.field(&key);
            let value = access.next_value_seed(Node { place: &place, duplicates: self.duplicates })?;
            match map.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(value)),
                Entry::Occupied(mut entry) => {
                    self.place.field(entry.key()).report(self.duplicates);
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

fn explain(bytes: &[u8], error: &serde_json::Error) -> ParseError {
    if error.is_eof() {
        return ParseError::End;
    }
    let text = error.to_string();
    let context = match text.split(" at line ").next().unwrap_or_default() {
        "recursion limit exceeded" => return ParseError::Depth,
        "expected value" => "looking for beginning of value",
        "expected ident" => "in literal",
        "expected `,` or `]`" => "after array element",
        "expected `,` or `}`" => "after object key:value pair",
        "expected `:`" => "after object key",
        "key must be a string" | "trailing comma" => "looking for beginning of object key string",
        "trailing characters" => "after top-level value",
        "control character (\\u0000-\\u001F) found while parsing a string" => "in string literal",
        "invalid number" => "in numeric literal",
        "invalid escape" => "in string escape code",
        _ => return ParseError::Other(text),
    };
    match character_at(bytes, error.line(), error.column()) {
        Some(character) => ParseError::Character { character, context },
        None => ParseError::Other(text),
    }
}

/// The character at a position as `serde_json` counts them: lines from one, columns in bytes from one.
fn character_at(bytes: &[u8], line: usize, column: usize) -> Option<char> {
    let line = bytes.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    let rest = line.get(column.checked_sub(1)?..)?;
    let valid = rest.utf8_chunks().next()?.valid();
    Some(valid.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// As Go's `quoteChar` does.
fn quoted(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        other => format!("'{}'", other.escape_debug()),
    }
}

#[cfg(test)]
mod tests;
