//! Regular expressions, in RE2's syntax, which never take more than linear time.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

pub(crate) const ROWS: &[Row] = &[
    ("matches", &["(string,string)->bool", "string.(string)->bool"], matches, Cost::Match),
    ("find", &["string.(string)->string"], find, Cost::Match),
    ("findAll", &["string.(string)->list<string>", "string.(string,int)->list<string>"], find_all, Cost::Match),
];

pub(crate) fn build(pattern: &str) -> std::result::Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build().map_err(
        |error| {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        },
    )
}

fn compiled<'t>(tools: &Tools<'t>, pattern: &str) -> std::result::Result<Cow<'t, Regex>, EvalError> {
    match tools.patterns.get(pattern) {
        Some(regex) => Ok(Cow::Borrowed(regex)),
        None => build(pattern)
            .map(Cow::Owned)
            .map_err(|error| EvalError::of(format!("error parsing regexp: {error}: `{pattern}`"))),
    }
}

fn matches<'a>(tools: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(pattern)] => Ok(Value::Bool(compiled(tools, pattern)?.is_match(text))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn find<'a>(tools: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::String(text), Value::String(pattern)] => {
            Ok(Value::text(compiled(tools, pattern)?.find(text).map_or("", |found| found.as_str())))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn find_all<'a>(tools: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return Err(EvalError::NoSuchOverload),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let regex = compiled(tools, pattern)?;
    Ok(Value::list(regex.find_iter(text).take(limit).map(|found| Value::text(found.as_str())).collect()))
}
