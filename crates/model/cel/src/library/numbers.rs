//! Arithmetic and conversions of numbers.

use super::time;
use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

const INT: EvalError = EvalError::Overflow("integer");
const UINT: EvalError = EvalError::Overflow("unsigned integer");

pub(crate) const ROWS: &[Row] = &[
    (
        "_+_",
        &[
            "(int,int)->int",
            "(uint,uint)->uint",
            "(double,double)->double",
            "(string,string)->string",
            "(bytes,bytes)->bytes",
            "(list<A>,list<A>)->list<A>",
            "(timestamp,duration)->timestamp",
            "(duration,timestamp)->timestamp",
            "(duration,duration)->duration",
        ],
        add,
        Cost::Join,
    ),
    (
        "_-_",
        &[
            "(int,int)->int",
            "(uint,uint)->uint",
            "(double,double)->double",
            "(timestamp,timestamp)->duration",
            "(timestamp,duration)->timestamp",
            "(duration,duration)->duration",
        ],
        subtract,
        Cost::Fixed(1),
    ),
    ("_*_", &["(int,int)->int", "(uint,uint)->uint", "(double,double)->double"], multiply, Cost::Fixed(1)),
    ("_/_", &["(int,int)->int", "(uint,uint)->uint", "(double,double)->double"], divide, Cost::Fixed(1)),
    ("_%_", &["(int,int)->int", "(uint,uint)->uint"], modulo, Cost::Fixed(1)),
    ("-_", &["(int)->int", "(double)->double"], negate, Cost::Fixed(1)),
    (
        "int",
        &["(int)->int", "(uint)->int", "(double)->int", "(string)->int", "(timestamp)->int"],
        to_int,
        Cost::Fixed(1),
    ),
    ("uint", &["(uint)->uint", "(int)->uint", "(double)->uint", "(string)->uint"], to_uint, Cost::Fixed(1)),
    ("double", &["(double)->double", "(int)->double", "(uint)->double", "(string)->double"], to_double, Cost::Fixed(1)),
];

fn add<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [left, right] = args else { return Err(EvalError::NoSuchOverload) };
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int).ok_or(INT),
        (Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint).ok_or(UINT),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::text(format!("{}{}", &**a, &**b))),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&**a, &**b].concat().into())),
        (Value::List(a), Value::List(b)) => a.concat(b),
        (Value::Timestamp(at), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(at)) => {
            time::shift(*at, *by)
        }
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or(EvalError::Overflow("duration"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn subtract<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [left, right] = args else { return Err(EvalError::NoSuchOverload) };
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => a.checked_sub(*b).map(Value::Int).ok_or(INT),
        (Value::Uint(a), Value::Uint(b)) => a.checked_sub(*b).map(Value::Uint).ok_or(UINT),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            i64::try_from(nanos).map(Value::Duration).map_err(|_| EvalError::Overflow("timestamp"))
        }
        (Value::Timestamp(at), Value::Duration(by)) => {
            time::shift(*at, by.checked_neg().ok_or(EvalError::Overflow("duration"))?)
        }
        (Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or(EvalError::Overflow("duration"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn multiply<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_mul(*b).map(Value::Int).ok_or(INT),
        [Value::Uint(a), Value::Uint(b)] => a.checked_mul(*b).map(Value::Uint).ok_or(UINT),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn divide<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(EvalError::DivideByZero),
        [Value::Int(a), Value::Int(b)] => a.checked_div(*b).map(Value::Int).ok_or(INT),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a / b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn modulo<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(EvalError::ModulusByZero),
        [Value::Int(a), Value::Int(b)] => a.checked_rem(*b).map(Value::Int).ok_or(INT),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a % b)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn negate<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Int(a)] => a.checked_neg().map(Value::Int).ok_or(INT),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_int<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(*value)),
        [Value::Uint(value)] => i64::try_from(*value).map(Value::Int).map_err(|_| INT),
        // The bounds themselves are not exact in a double.
        [Value::Double(value)] if value.abs() < 9_223_372_036_854_775_807.0 => Ok(Value::Int(*value as i64)),
        [Value::Double(_)] => Err(INT),
        [Value::String(text)] => text
            .parse()
            .map(Value::Int)
            .map_err(|_| EvalError::of(format!("strconv.ParseInt: parsing {:?}: invalid syntax", &**text))),
        [Value::Timestamp(at)] => Ok(Value::Int(at.as_second())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_uint<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Int(value)] => u64::try_from(*value).map(Value::Uint).map_err(|_| UINT),
        [Value::Double(value)] if *value >= 0.0 && *value < 18_446_744_073_709_551_615.0 => {
            Ok(Value::Uint(*value as u64))
        }
        [Value::Double(_)] => Err(UINT),
        [Value::String(text)] => text
            .parse()
            .map(Value::Uint)
            .map_err(|_| EvalError::of(format!("strconv.ParseUint: parsing {:?}: invalid syntax", &**text))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_double<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [Value::String(text)] => text
            .parse()
            .map(Value::Double)
            .map_err(|_| EvalError::of(format!("strconv.ParseFloat: parsing {:?}: invalid syntax", &**text))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// As Go's `%g` prints: the shortest text that is the same number, with an exponent below -4 and from 21 on.
pub(crate) fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
