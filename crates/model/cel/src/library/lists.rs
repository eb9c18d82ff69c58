//! Kubernetes' lists, cel-go's `sets` and `lists` (version 3), and what texts and lists have in common.

use super::strings::{index_of_text, last_index_of_text};
use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::{List, Value};

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("isSorted", &["list<A>.()->bool"], is_sorted, Cost::Items),
    (
        "sum",
        &["list<int>.()->int", "list<uint>.()->uint", "list<double>.()->double", "list<duration>.()->duration"],
        sum,
        Cost::Items,
    ),
    ("min", &["list<A>.()->A"], min, Cost::Items),
    ("max", &["list<A>.()->A"], max, Cost::Items),
    ("indexOf", &["list<A>.(A)->int", "string.(string)->int", "string.(string,int)->int"], index_of, Cost::Items),
    (
        "lastIndexOf",
        &["list<A>.(A)->int", "string.(string)->int", "string.(string,int)->int"],
        last_index_of,
        Cost::Items,
    ),
    ("slice", &["list<A>.(int,int)->list<A>"], slice, Cost::Items),
    ("flatten", &["list<list<A>>.()->list<A>", "list<dyn>.(int)->list<dyn>"], flatten, Cost::Items),
    ("distinct", &["list<A>.()->list<A>"], distinct, Cost::Square),
    ("reverse", &["list<A>.()->list<A>"], reverse, Cost::Items),
    ("sort", &["list<A>.()->list<A>"], sort, Cost::Square),
    ("first", &["list<A>.()->optional<A>"], |_, args| end(args, |_| 0), Cost::Fixed(1)),
    ("last", &["list<A>.()->optional<A>"], |_, args| end(args, |length| length.wrapping_sub(1)), Cost::Fixed(1)),
    ("lists.range", &["(int)->list<int>"], range, Cost::Number),
    ("sets.contains", &["(list<A>,list<A>)->bool"], contains, Cost::Pairs),
    ("sets.equivalent", &["(list<A>,list<A>)->bool"], equivalent, Cost::Pairs),
    ("sets.intersects", &["(list<A>,list<A>)->bool"], intersects, Cost::Pairs),
];

fn is_sorted<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut last: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(last) = &last
            && last.order(&item).ok_or(EvalError::NoSuchOverload)?.is_gt()
        {
            return Ok(Value::Bool(false));
        }
        last = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut total: Option<Value<'a>> = None;
    for item in list.iter() {
        total = Some(match (total, item) {
            (None, item @ (Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_))) => item,
            (Some(Value::Int(a)), Value::Int(b)) => Value::Int(a.checked_add(b).ok_or(EvalError::Overflow("integer"))?),
            (Some(Value::Uint(a)), Value::Uint(b)) => {
                Value::Uint(a.checked_add(b).ok_or(EvalError::Overflow("unsigned integer"))?)
            }
            (Some(Value::Double(a)), Value::Double(b)) => Value::Double(a + b),
            (Some(Value::Duration(a)), Value::Duration(b)) => {
                Value::Duration(a.checked_add(b).ok_or(EvalError::Overflow("duration"))?)
            }
            _ => return Err(EvalError::NoSuchOverload),
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, better: fn(std::cmp::Ordering) -> bool) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        best = Some(match best {
            None => item,
            Some(best) => match item.order(&best).ok_or(EvalError::NoSuchOverload)? {
                order if better(order) => item,
                _ => best,
            },
        });
    }
    best.ok_or_else(|| EvalError::of(format!("{name} called on empty list")))
}

fn min<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    extreme(args, "min", std::cmp::Ordering::is_lt)
}

fn max<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    extreme(args, "max", std::cmp::Ordering::is_gt)
}

fn index_of<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(part)] => index_of_text(text, part, 0).map(Value::Int),
        [Value::String(text), Value::String(part), Value::Int(from)] => {
            index_of_text(text, part, *from).map(Value::Int)
        }
        [Value::List(list), item] => {
            for (index, have) in list.iter().enumerate() {
                if have.equals(item)? {
                    return Ok(Value::Int(index as i64));
                }
            }
            Ok(Value::Int(-1))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn last_index_of<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(part)] => last_index_of_text(text, part, None).map(Value::Int),
        [Value::String(text), Value::String(part), Value::Int(until)] => {
            last_index_of_text(text, part, Some(*until)).map(Value::Int)
        }
        [Value::List(list), item] => {
            let mut found = -1;
            for (index, have) in list.iter().enumerate() {
                if have.equals(item)? {
                    found = index as i64;
                }
            }
            Ok(Value::Int(found))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn slice<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else { return Err(EvalError::NoSuchOverload) };
    let wrong = |why: &str| Err(EvalError::of(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return wrong("negative indexes not supported");
    };
    if from > to {
        return wrong("start index must be less than or equal to end index");
    }
    if to > list.len() {
        return wrong(&format!("list is length {}", list.len()));
    }
    Ok(Value::list(list.iter().skip(from).take(to - from).collect()))
}

fn flatten<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(_), Value::Int(depth)] if *depth < 0 => return Err(EvalError::of("level must be non-negative")),
        [Value::List(list), Value::Int(depth)] => (list, *depth),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let mut flat = Vec::new();
    flatten_into(list, depth, &mut flat);
    Ok(Value::list(flat))
}

/// Lists are as deep as JSON and brackets may be: that bounds the calls within calls.
fn flatten_into<'a>(list: &List<'a>, depth: i64, flat: &mut Vec<Value<'a>>) {
    for item in list.iter() {
        match &item {
            Value::List(inner) if depth > 0 => flatten_into(inner, depth - 1, flat),
            _ => flat.push(item),
        }
    }
}

fn distinct<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut kept: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let mut seen = false;
        for have in &kept {
            seen = seen || have.equals(&item)?;
        }
        if !seen {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn reverse<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut items: Vec<Value<'a>> = list.iter().collect();
    items.reverse();
    Ok(Value::list(items))
}

fn sort<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    let items: Vec<Value<'a>> = list.iter().collect();
    let keys = items.clone();
    sorted(items, &keys)
}

/// `items` in the order of their `keys`; equal ones stay as they are.
pub(crate) fn sorted<'a>(items: Vec<Value<'a>>, keys: &[Value<'a>]) -> Result<'a> {
    if let Some(first) = keys.first() {
        if first.order(first).is_none() {
            return Err(EvalError::of("list elements must be comparable"));
        }
        if keys.iter().any(|key| key.type_name() != first.type_name()) {
            return Err(EvalError::of("list elements must have the same type"));
        }
    }
    let mut pairs: Vec<(Value<'a>, &Value<'a>)> = items.into_iter().zip(keys).collect();
    pairs.sort_by(|(_, left), (_, right)| left.order(right).unwrap_or(std::cmp::Ordering::Equal));
    Ok(Value::list(pairs.into_iter().map(|(item, _)| item).collect()))
}

fn end<'a>(args: &[Value<'a>], place: fn(usize) -> usize) -> Result<'a> {
    let [Value::List(list)] = args else { return Err(EvalError::NoSuchOverload) };
    Ok(Value::optional(list.get(place(list.len()))))
}

/// What a call may cost bounds the number.
fn range<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::Int(end)] = args else { return Err(EvalError::NoSuchOverload) };
    Ok(Value::list((0..*end).map(Value::Int).collect()))
}

fn all_in<'a>(items: &List<'a>, list: &List<'a>) -> std::result::Result<bool, EvalError> {
    for item in items.iter() {
        if !list.contains(&item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::List(list), Value::List(items)] => all_in(items, list).map(Value::Bool),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn equivalent<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::List(left), Value::List(right)] => Ok(Value::Bool(all_in(left, right)? && all_in(right, left)?)),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn intersects<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::List(left), Value::List(right)] = args else { return Err(EvalError::NoSuchOverload) };
    for item in left.iter() {
        if right.contains(&item)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
