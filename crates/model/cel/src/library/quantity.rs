//! Kubernetes' quantities.

use minato_quantity::Quantity;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("quantity", &["(string)->quantity"], to_quantity, Cost::Traverse(0)),
    ("isQuantity", &["(string)->bool"], is_quantity, Cost::Traverse(0)),
    ("sign", &["quantity.()->int"], sign, Cost::Fixed(1)),
    ("isInteger", &["quantity.()->bool"], is_integer, Cost::Fixed(1)),
    ("asInteger", &["quantity.()->int"], as_integer, Cost::Fixed(1)),
    ("asApproximateFloat", &["quantity.()->double"], as_float, Cost::Fixed(1)),
    ("add", &["quantity.(quantity)->quantity", "quantity.(int)->quantity"], add, Cost::Fixed(1)),
    ("sub", &["quantity.(quantity)->quantity", "quantity.(int)->quantity"], sub, Cost::Fixed(1)),
    ("isGreaterThan", COMPARED, |_, args| compare(args, std::cmp::Ordering::is_gt), Cost::Fixed(1)),
    ("isLessThan", COMPARED, |_, args| compare(args, std::cmp::Ordering::is_lt), Cost::Fixed(1)),
    ("compareTo", &["quantity.(quantity)->int", "semver.(semver)->int"], compare_to, Cost::Fixed(1)),
];

const COMPARED: &[&str] = &["quantity.(quantity)->bool", "semver.(semver)->bool"];

fn to_quantity<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => {
            Quantity::parse(text).map(Value::Quantity).map_err(|error| EvalError::of(error.to_string()))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn is_quantity<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn sign<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Quantity(quantity)] => Ok(Value::Int(quantity.signum() as i64)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn whole(quantity: &Quantity) -> Option<i64> {
    if quantity.is_integer() { i64::try_from(quantity.nanos() / 1_000_000_000).ok() } else { None }
}

fn is_integer<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Quantity(quantity)] => Ok(Value::Bool(whole(quantity).is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn as_integer<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Quantity(quantity)] => {
            whole(quantity).map(Value::Int).ok_or_else(|| EvalError::of("cannot convert value to integer"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn as_float<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Quantity(quantity)] => Ok(Value::Double(quantity.nanos() as f64 / 1e9)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn operands(args: &[Value<'_>]) -> std::result::Result<(Quantity, Quantity), EvalError> {
    match args {
        [Value::Quantity(left), Value::Quantity(right)] => Ok((*left, *right)),
        [Value::Quantity(left), Value::Int(right)] => Ok((*left, Quantity::from_value(*right, left.format()))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn add<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    operands(args).map(|(left, right)| Value::Quantity(left + right))
}

fn sub<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    operands(args).map(|(left, right)| Value::Quantity(left - right))
}

fn order(args: &[Value<'_>]) -> std::result::Result<std::cmp::Ordering, EvalError> {
    match args {
        [left @ Value::Quantity(_), right @ Value::Quantity(_)]
        | [left @ Value::Semver(_), right @ Value::Semver(_)] => left.order(right).ok_or(EvalError::NoSuchOverload),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn compare<'a>(args: &[Value<'a>], holds: fn(std::cmp::Ordering) -> bool) -> Result<'a> {
    order(args).map(|order| Value::Bool(holds(order)))
}

fn compare_to<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    order(args).map(|order| Value::Int(order as i64))
}
