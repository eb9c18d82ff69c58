//! Texts: the standard functions and version 2 of cel-go's `strings`.

use std::sync::Arc;

use super::numbers::format_double;
use super::time;
use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::{List, Value};

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) const ROWS: &[Row] = &[
    ("jsonpatch.escapeKey", &["(string)->string"], escape_key, Cost::Traverse(0)),
    ("startsWith", &["string.(string)->bool"], starts_with, Cost::Traverse(1)),
    ("endsWith", &["string.(string)->bool"], ends_with, Cost::Traverse(1)),
    ("contains", &["string.(string)->bool"], contains, Cost::Contains),
    (
        "string",
        &[
            "(string)->string",
            "(bool)->string",
            "(int)->string",
            "(uint)->string",
            "(double)->string",
            "(bytes)->string",
            "(timestamp)->string",
            "(duration)->string",
            "(quantity)->string",
            "(ip)->string",
            "(cidr)->string",
            "(semver)->string",
        ],
        to_string,
        Cost::Traverse(0),
    ),
    ("bytes", &["(bytes)->bytes", "(string)->bytes"], to_bytes, Cost::Traverse(0)),
    ("charAt", &["string.(int)->string"], char_at, Cost::Fixed(1)),
    ("lowerAscii", &["string.()->string"], lower, Cost::Traverse(0)),
    ("upperAscii", &["string.()->string"], upper, Cost::Traverse(0)),
    ("replace", &["string.(string,string)->string", "string.(string,string,int)->string"], replace, Cost::Traverse(0)),
    ("split", &["string.(string)->list<string>", "string.(string,int)->list<string>"], split, Cost::Traverse(0)),
    ("join", &["list<string>.()->string", "list<string>.(string)->string"], join, Cost::Items),
    ("substring", &["string.(int)->string", "string.(int,int)->string"], substring, Cost::Traverse(0)),
    ("trim", &["string.()->string"], trim, Cost::Traverse(0)),
    ("strings.quote", &["(string)->string"], quote, Cost::Traverse(0)),
    ("format", &["string.(list<dyn>)->string"], format, Cost::Traverse(0)),
];

/// A key as a part of a JSON pointer (RFC 6901).
fn escape_key<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn starts_with<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.starts_with(&**part))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn ends_with<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.ends_with(&**part))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn contains<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(text.contains(&**part))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_string<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    Ok(match args {
        [Value::String(text)] => Value::String(text.clone()),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return Err(EvalError::of("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Value::Timestamp(at)] => Value::text(time::format_timestamp(*at)),
        [Value::Duration(nanos)] => Value::text(time::format_duration(*nanos)),
        [Value::Semver(version)] => Value::text(version.to_string()),
        [
            value @ (Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Quantity(_)
            | Value::Ip(_)
            | Value::Cidr(_)),
        ] => match value {
            Value::Quantity(quantity) => Value::text(quantity.to_string()),
            Value::Ip(ip) => Value::text(ip.to_string()),
            Value::Cidr(cidr) => Value::text(cidr.to_string()),
            other => Value::text(other.to_string()),
        },
        _ => return Err(EvalError::NoSuchOverload),
    })
}

fn to_bytes<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(Arc::clone(bytes))),
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn char_at<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text), Value::Int(index)] = args else { return Err(EvalError::NoSuchOverload) };
    let out = || EvalError::of(format!("index out of range: {index}"));
    let place = usize::try_from(*index).map_err(|_| out())?;
    match text.chars().nth(place) {
        Some(found) => Ok(Value::text(found.to_string())),
        None if text.chars().count() == place => Ok(Value::text("")),
        None => Err(out()),
    }
}

fn lower<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.to_ascii_lowercase())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn upper<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.to_ascii_uppercase())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The place of `part` in `text`, in characters.
pub(super) fn index_of_text(text: &str, part: &str, from: i64) -> std::result::Result<i64, EvalError> {
    let from = usize::try_from(from).map_err(|_| EvalError::of(format!("index out of range: {from}")))?;
    let start = match text.char_indices().nth(from) {
        Some((at, _)) => at,
        None if from == text.chars().count() => text.len(),
        None => return Ok(-1),
    };
    Ok(text[start..].find(part).map_or(-1, |at| text[..start + at].chars().count() as i64))
}

pub(super) fn last_index_of_text(text: &str, part: &str, until: Option<i64>) -> std::result::Result<i64, EvalError> {
    let Some(until) = until else {
        return Ok(text.rfind(part).map_or(-1, |at| text[..at].chars().count() as i64));
    };
    let until = usize::try_from(until).map_err(|_| EvalError::of(format!("index out of range: {until}")))?;
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).take(until + 1).collect();
    Ok(places.iter().rposition(|at| text[*at..].starts_with(part)).map_or(-1, |place| place as i64))
}

fn replace<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(from), Value::String(to)] => Ok(Value::text(text.replace(&**from, to))),
        [Value::String(text), Value::String(from), Value::String(to), Value::Int(times)] => {
            Ok(Value::text(match usize::try_from(*times) {
                Ok(times) => text.replacen(&**from, to, times),
                Err(_) => text.replace(&**from, to),
            }))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn split<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(limit)] => (text, separator, *limit),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let characters = ends.len().saturating_sub(1);
        (0..characters.min(limit))
            .map(|index| {
                let end = if index + 1 == limit { text.len() } else { ends[index + 1] };
                Value::text(&text[ends[index]..end])
            })
            .collect()
    } else {
        text.splitn(limit, &**separator).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

fn join<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (list, separator) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, &**separator),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let mut parts = Vec::with_capacity(list.len());
    for item in list.iter() {
        match item {
            Value::String(text) => parts.push(text),
            _ => return Err(EvalError::NoSuchOverload),
        }
    }
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    Ok(Value::text(parts.join(separator)))
}

fn substring<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let length = text.chars().count() as i64;
    let end = end.unwrap_or(length);
    if start < 0 || start > length {
        return Err(EvalError::of(format!("index out of range: {start}")));
    }
    if end < 0 || end > length {
        return Err(EvalError::of(format!("index out of range: {end}")));
    }
    if start > end {
        return Err(EvalError::of(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let kept: String = text.chars().skip(start as usize).take((end - start) as usize).collect();
    Ok(Value::text(kept))
}

fn trim<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(text.trim())),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn quote<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::String(text)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

/// `"%s has %d".format([name, count])`
fn format<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let [Value::String(pattern), Value::List(values)] = args else { return Err(EvalError::NoSuchOverload) };
    let mut out = String::new();
    let mut next = 0;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision: Option<usize> = None;
        let mut clause = rest.next().ok_or_else(|| EvalError::of("unexpected end of string"))?;
        if clause == '%' {
            out.push('%');
            continue;
        }
        if clause == '.' {
            let mut digits = String::new();
            loop {
                clause = rest.next().ok_or_else(|| EvalError::of("could not find end of precision specifier"))?;
                match clause {
                    '0'..='9' if digits.len() < 3 => digits.push(clause),
                    _ => break,
                }
            }
            precision = digits.parse().ok();
        }
        let value = values.get(next).ok_or_else(|| EvalError::of(format!("index {next} out of range")))?;
        next += 1;
        out.push_str(&formatted(&value, clause, precision)?);
    }
    Ok(Value::text(out))
}

fn formatted(value: &Value<'_>, clause: char, precision: Option<usize>) -> std::result::Result<String, EvalError> {
    let wrong = |what: &str| {
        Err(EvalError::of(format!(
            "error during formatting: {what} clause can only be used on numbers, was given {}",
            value.type_name()
        )))
    };
    match (clause, value) {
        ('s', value) => Ok(shown(value)),
        ('d', Value::Int(number)) => Ok(number.to_string()),
        ('d', Value::Uint(number)) => Ok(number.to_string()),
        ('d', _) => wrong("decimal"),
        ('f', value) => match as_double(value) {
            Some(number) => Ok(format!("{number:.*}", precision.unwrap_or(6))),
            None => wrong("fixed-point"),
        },
        ('e', value) => match as_double(value) {
            Some(number) => {
                let text = format!("{number:.*e}", precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                Ok(format!("{digits}e{sign}{:02}", exponent.abs()))
            }
            None => wrong("scientific"),
        },
        ('b', Value::Int(number)) if *number < 0 => Ok(format!("-{:b}", number.unsigned_abs())),
        ('b', Value::Int(number)) => Ok(format!("{number:b}")),
        ('b', Value::Uint(number)) => Ok(format!("{number:b}")),
        ('b', Value::Bool(value)) => Ok(u8::from(*value).to_string()),
        ('b', _) => wrong("binary"),
        ('o', Value::Int(number)) if *number < 0 => Ok(format!("-{:o}", number.unsigned_abs())),
        ('o', Value::Int(number)) => Ok(format!("{number:o}")),
        ('o', Value::Uint(number)) => Ok(format!("{number:o}")),
        ('o', _) => wrong("octal"),
        ('x', Value::Int(number)) if *number < 0 => Ok(format!("-{:x}", number.unsigned_abs())),
        ('x', Value::Int(number)) => Ok(format!("{number:x}")),
        ('x', Value::Uint(number)) => Ok(format!("{number:x}")),
        ('x', Value::String(text)) => Ok(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ('x', Value::Bytes(bytes)) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        ('X', value) => formatted(value, 'x', None).map(|text| text.to_uppercase()),
        ('x', _) => wrong("hexadecimal"),
        (other, _) => Err(EvalError::of(format!("unrecognized formatting clause {:?}", other.to_string()))),
    }
}

fn as_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Double(number) => format_double(*number),
        Value::Timestamp(at) => time::format_timestamp(*at),
        Value::Duration(nanos) => time::format_duration(*nanos),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Type(name) => name.to_string(),
        Value::List(list) => shown_list(list),
        Value::Map(map) => {
            let mut entries: Vec<String> =
                map.entries().iter().map(|(key, value)| format!("{}: {}", shown(key), shown(value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn shown_list(list: &List<'_>) -> String {
    let items: Vec<String> = list.iter().map(|item| shown(&item)).collect();
    format!("[{}]", items.join(", "))
}
