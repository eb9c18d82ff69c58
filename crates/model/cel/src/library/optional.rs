//! Values that may be absent.

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("optional.of", &["(A)->optional<A>"], of, Cost::Fixed(1)),
    ("optional.none", &["()->optional<A>"], none, Cost::Fixed(1)),
    ("optional.ofNonZeroValue", &["(A)->optional<A>"], of_non_zero, Cost::Fixed(1)),
    ("hasValue", &["optional<A>.()->bool"], has_value, Cost::Fixed(1)),
    ("value", &["optional<A>.()->A"], value, Cost::Fixed(1)),
    ("or", &["optional<A>.(optional<A>)->optional<A>"], or, Cost::Fixed(1)),
    ("orValue", &["optional<A>.(A)->A"], or_value, Cost::Fixed(1)),
];

fn of<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [value] => Ok(Value::optional(Some(value.clone()))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn none<'a>(_: &Tools<'_>, _: &[Value<'a>]) -> Result<'a> {
    Ok(Value::Optional(None))
}

fn of_non_zero<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [value] = args else { return Err(EvalError::NoSuchOverload) };
    let zero = match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Optional(None) => true,
        _ => false,
    };
    Ok(Value::optional((!zero).then(|| value.clone())))
}

fn has_value<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn value<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(EvalError::of("optional.none() dereference")),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn or<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [have @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(have.clone()),
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn or_value<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => Err(EvalError::NoSuchOverload),
    }
}
