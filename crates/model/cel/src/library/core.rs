//! Operators, sizes and types.

use std::cmp::Ordering;

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("_==_", &["(A,A)->bool"], equals, Cost::Shorter),
    ("_!=_", &["(A,A)->bool"], differs, Cost::Shorter),
    ("_<_", ORDERED, less, Cost::Shorter),
    ("_<=_", ORDERED, less_or_equal, Cost::Shorter),
    ("_>_", ORDERED, greater, Cost::Shorter),
    ("_>=_", ORDERED, greater_or_equal, Cost::Shorter),
    ("!_", &["(bool)->bool"], not, Cost::Fixed(1)),
    ("@in", &["(A,list<A>)->bool", "(A,map<A,B>)->bool"], contained, Cost::In),
    (
        "_[_]",
        &[
            "(list<A>,int)->A",
            "(map<A,B>,A)->B",
            "(optional<list<A>>,int)->optional<A>",
            "(optional<map<A,B>>,A)->optional<B>",
        ],
        index,
        Cost::Fixed(1),
    ),
    (
        "_[?_]",
        &[
            "(list<A>,int)->optional<A>",
            "(map<A,B>,A)->optional<B>",
            "(optional<list<A>>,int)->optional<A>",
            "(optional<map<A,B>>,A)->optional<B>",
        ],
        index_if,
        Cost::Fixed(1),
    ),
    (
        "size",
        &[
            "(string)->int",
            "(bytes)->int",
            "(list<A>)->int",
            "(map<A,B>)->int",
            "string.()->int",
            "bytes.()->int",
            "list<A>.()->int",
            "map<A,B>.()->int",
        ],
        size,
        Cost::Fixed(1),
    ),
    ("type", &["(A)->type<A>"], type_of, Cost::Fixed(1)),
    ("dyn", &["(A)->dyn"], same, Cost::Fixed(1)),
    ("bool", &["(bool)->bool", "(string)->bool"], to_bool, Cost::Fixed(1)),
];

const ORDERED: &[&str] = &[
    "(bool,bool)->bool",
    "(int,int)->bool",
    "(uint,uint)->bool",
    "(double,double)->bool",
    "(string,string)->bool",
    "(bytes,bytes)->bool",
    "(timestamp,timestamp)->bool",
    "(duration,duration)->bool",
    "(int,uint)->bool",
    "(int,double)->bool",
    "(uint,int)->bool",
    "(uint,double)->bool",
    "(double,int)->bool",
    "(double,uint)->bool",
];

fn equals<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [left, right] => left.equals(right).map(Value::Bool),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn differs<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [left, right] => left.equals(right).map(|same| Value::Bool(!same)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn compare<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Result<'a> {
    match args {
        [Value::Quantity(_) | Value::Semver(_), _] => Err(EvalError::NoSuchOverload),
        // Nothing is less than, equal to or greater than NaN.
        [
            left @ (Value::Double(_) | Value::Int(_) | Value::Uint(_)),
            right @ (Value::Double(_) | Value::Int(_) | Value::Uint(_)),
        ] => Ok(Value::Bool(left.order(right).is_some_and(holds))),
        [left, right] => left.order(right).map(|order| Value::Bool(holds(order))).ok_or(EvalError::NoSuchOverload),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn less<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    compare(args, Ordering::is_lt)
}

fn less_or_equal<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    compare(args, Ordering::is_le)
}

fn greater<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    compare(args, Ordering::is_gt)
}

fn greater_or_equal<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    compare(args, Ordering::is_ge)
}

fn not<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn contained<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [item, Value::List(list)] => list.contains(item).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(map.get(key).is_some())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// What stands at a place of a list or under a key; none where there is nothing.
fn look_up<'a>(container: &Value<'a>, key: &Value<'a>) -> std::result::Result<Option<Value<'a>>, EvalError> {
    match (container, key) {
        (Value::List(list), key) => {
            let index = match key {
                Value::Int(index) => *index,
                Value::Uint(index) => i64::try_from(*index).unwrap_or(i64::MAX),
                Value::Double(index) if index.fract() == 0.0 => *index as i64,
                _ => return Err(EvalError::NoSuchOverload),
            };
            Ok(usize::try_from(index).ok().and_then(|index| list.get(index)))
        }
        (Value::Map(map), key) => Ok(map.get(key)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn index<'a>(tools: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Optional(_), _] => index_if(tools, args),
        [container, key] => look_up(container, key)?.ok_or_else(|| match (container, key) {
            (Value::List(_), Value::Int(index)) => EvalError::IndexOutOfBounds(*index),
            (Value::List(_), _) => EvalError::IndexOutOfBounds(i64::MAX),
            (_, key) => EvalError::NoSuchKey(key.to_string()),
        }),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn index_if<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Optional(None), _] => Ok(Value::Optional(None)),
        [Value::Optional(Some(container)), key] => look_up(container, key).map(Value::optional),
        [container, key] => look_up(container, key).map(Value::optional),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn size<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn type_of<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [value] => Ok(Value::Type(value.type_name().into())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(super) fn same<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    args.first().cloned().ok_or(EvalError::NoSuchOverload)
}

fn to_bool<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [Value::String(text)] => match &**text {
            "true" | "TRUE" | "True" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "FALSE" | "False" | "f" | "0" => Ok(Value::Bool(false)),
            _ => Err(EvalError::of("type conversion error from 'string' to 'bool'")),
        },
        _ => Err(EvalError::NoSuchOverload),
    }
}
