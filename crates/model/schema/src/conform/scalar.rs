//! Single values: numbers in range, quantities, times, base64.

use super::{base64, mismatch::Misfit, time};
use crate::shape::Scalar;
use minato_quantity::Quantity;
use serde_json::{Number, Value};

/// Checks a single value and brings it into the form the API keeps.
pub(super) fn conform(scalar: Scalar, value: &mut Value) -> Result<(), Misfit> {
    match (scalar, value) {
        (Scalar::String, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) | (Scalar::Double, Value::Number(_)) => {
            Ok(())
        }
        (Scalar::Int32, Value::Number(number)) => integer(number, "int32", |n| i32::try_from(n).is_ok()),
        (Scalar::Int64, Value::Number(number)) => integer(number, "int64", |_| true),
        (Scalar::IntOrString, Value::String(_)) => Ok(()),
        (Scalar::IntOrString, Value::Number(number)) => integer(number, "int32", |n| i32::try_from(n).is_ok()),
        (Scalar::Bytes, Value::String(text)) => base64::conform(text).map_err(Misfit::Base64),
        (Scalar::Time, Value::String(text)) => time::conform(text, time::Precision::Seconds).map_err(Misfit::Time),
        (Scalar::MicroTime, Value::String(text)) => time::conform(text, time::Precision::Micros).map_err(Misfit::Time),
        (Scalar::Quantity, value) => quantity(value),
        (_, found) => Err(Misfit::of(found, go_type(scalar).to_owned())),
    }
}

/// The Go type that a decoder names when it meets something else.
pub(super) fn go_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String | Scalar::Time | Scalar::MicroTime => "string",
        Scalar::Bytes => "[]uint8",
        Scalar::Quantity => "resource.Quantity",
        Scalar::Int32 | Scalar::IntOrString => "int32",
        Scalar::Int64 => "int64",
        Scalar::Double => "float64",
        Scalar::Bool => "bool",
    }
}

/// What a `null` becomes where it cannot be left out.
pub(super) fn zero(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String | Scalar::Bytes => Value::String(String::new()),
        Scalar::Quantity => Value::String("0".to_owned()),
        Scalar::IntOrString | Scalar::Int32 | Scalar::Int64 | Scalar::Double => Value::Number(0.into()),
        Scalar::Bool => Value::Bool(false),
        Scalar::Time | Scalar::MicroTime => Value::String("1970-01-01T00:00:00Z".to_owned()),
    }
}

fn integer(number: &Number, wanted: &str, fits: fn(i64) -> bool) -> Result<(), Misfit> {
    match number.as_i64() {
        Some(value) if fits(value) => Ok(()),
        _ => Err(Misfit::Type { found: format!("number {number}"), wanted: wanted.to_owned() }),
    }
}

/// A quantity, given as a string or as a number; a number becomes the string it reads as.
fn quantity(value: &mut Value) -> Result<(), Misfit> {
    match value {
        Value::String(text) if plain(text) => Ok(()),
        Value::String(text) => check(text),
        Value::Number(number) => {
            let text = number.to_string();
            check(&text)?;
            *value = Value::String(text);
            Ok(())
        }
        other => check(&other.to_string()),
    }
}

fn check(text: &str) -> Result<(), Misfit> {
    Quantity::parse(text).map(drop).map_err(|error| Misfit::Quantity(error.to_string()))
}

/// `500m`, `64Mi`, `2`: what nearly all quantities look like, known good without exact arithmetic.
fn plain(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let known = matches!(text.get(digits..), Some("" | "m" | "k" | "M" | "G" | "T" | "Ki" | "Mi" | "Gi" | "Ti"));
    known && (1..=12).contains(&digits)
}
