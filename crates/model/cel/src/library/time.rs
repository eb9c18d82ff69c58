//! Moments and spans of time.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::error::EvalError;
use crate::functions::{Cost, Row, Tools};
use crate::value::Value;

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

const PART: &[&str] = &["timestamp.()->int", "timestamp.(string)->int"];
const PART_OR_SPAN: &[&str] = &["timestamp.()->int", "timestamp.(string)->int", "duration.()->int"];

pub(crate) const ROWS: &[Row] = &[
    ("timestamp", &["(timestamp)->timestamp", "(string)->timestamp", "(int)->timestamp"], to_timestamp, Cost::Fixed(1)),
    ("duration", &["(duration)->duration", "(string)->duration"], to_duration, Cost::Fixed(1)),
    ("getFullYear", PART, |_, args| part(args, |at| i64::from(at.year())), Cost::Fixed(1)),
    ("getMonth", PART, |_, args| part(args, |at| i64::from(at.month()) - 1), Cost::Fixed(1)),
    ("getDayOfYear", PART, |_, args| part(args, |at| i64::from(at.day_of_year()) - 1), Cost::Fixed(1)),
    ("getDayOfMonth", PART, |_, args| part(args, |at| i64::from(at.day()) - 1), Cost::Fixed(1)),
    ("getDate", PART, |_, args| part(args, |at| i64::from(at.day())), Cost::Fixed(1)),
    ("getDayOfWeek", PART, |_, args| part(args, |at| i64::from(at.weekday().to_sunday_zero_offset())), Cost::Fixed(1)),
    (
        "getHours",
        PART_OR_SPAN,
        |_, args| part_or_span(args, |at| i64::from(at.hour()), 3_600_000_000_000),
        Cost::Fixed(1),
    ),
    (
        "getMinutes",
        PART_OR_SPAN,
        |_, args| part_or_span(args, |at| i64::from(at.minute()), 60_000_000_000),
        Cost::Fixed(1),
    ),
    (
        "getSeconds",
        PART_OR_SPAN,
        |_, args| part_or_span(args, |at| i64::from(at.second()), 1_000_000_000),
        Cost::Fixed(1),
    ),
    (
        "getMilliseconds",
        PART_OR_SPAN,
        |_, args| part_or_span(args, |at| i64::from(at.millisecond()), 1_000_000),
        Cost::Fixed(1),
    ),
];

fn to_timestamp<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
        [Value::String(text)] => text.parse().map(Value::Timestamp).map_err(|_| {
            let text = &**text;
            EvalError::of(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"))
        }),
        [Value::Int(seconds)] => {
            Timestamp::from_second(*seconds).map(Value::Timestamp).map_err(|_| EvalError::Overflow("timestamp"))
        }
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn to_duration<'a>(_: &Tools<'_>, args: &[Value<'a>]) -> Result<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::of(format!("time: invalid duration {:?}", &**text))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(super) fn shift<'a>(at: Timestamp, nanos: i64) -> Result<'a> {
    at.checked_add(SignedDuration::from_nanos(nanos))
        .map(Value::Timestamp)
        .map_err(|_| EvalError::Overflow("timestamp"))
}

fn zone(name: &str) -> std::result::Result<TimeZone, EvalError> {
    if matches!(name, "" | "UTC" | "Z") {
        return Ok(TimeZone::UTC);
    }
    if let Some((hours, minutes)) = name.split_once(':') {
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let number = |text: &str| text.trim_start_matches(['+', '-']).parse::<i32>().ok();
        if let (Some(hours), Some(minutes)) = (number(hours), number(minutes))
            && let Ok(offset) = Offset::from_seconds(sign * (hours * 3600 + minutes * 60))
        {
            return Ok(TimeZone::fixed(offset));
        }
    }
    TimeZone::get(name).map_err(|_| EvalError::of(format!("unknown time zone {name}")))
}

fn part<'a>(args: &[Value<'a>], of: fn(&Zoned) -> i64) -> Result<'a> {
    match args {
        [Value::Timestamp(at)] => Ok(Value::Int(of(&at.to_zoned(TimeZone::UTC)))),
        [Value::Timestamp(at), Value::String(name)] => Ok(Value::Int(of(&at.to_zoned(zone(name)?)))),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn part_or_span<'a>(args: &[Value<'a>], of: fn(&Zoned) -> i64, unit_nanos: i64) -> Result<'a> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit_nanos)),
        args => part(args, of),
    }
}

/// A duration as Go writes it: `1h30m`, `-1.5s`, `300ms`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        let mut scale = unit;
        for digit in fraction.bytes() {
            scale /= 10;
            total += i128::from(digit - b'0') * scale;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// In seconds: `5400s`, `0.25s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, rest) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// RFC 3339 with as many digits of a second as there are.
pub(crate) fn format_timestamp(at: Timestamp) -> String {
    at.to_string()
}
