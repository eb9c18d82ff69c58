//! `Time` and `MicroTime`: RFC 3339 in, UTC out, with Go's words for what does not parse.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// How exact a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// `metav1.Time`: `2006-01-02T15:04:05Z`
    Seconds,
    /// `metav1.MicroTime`: `2006-01-02T15:04:05.000000Z`
    Micros,
}

/// Checks a time and rewrites it in UTC with the given precision; the error is Go's message.
pub(super) fn conform(text: &mut String, precision: Precision) -> Result<(), String> {
    let fraction = scan(text.as_bytes()).map_err(|Unparsed { at, element }| {
        let layout = match precision {
            Precision::Seconds => "2006-01-02T15:04:05Z07:00",
            Precision::Micros => "2006-01-02T15:04:05.000000Z07:00",
        };
        let rest = text.get(at..).unwrap_or_default();
        format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
    })?;
    let instant: Timestamp = text.parse().map_err(|_| format!("parsing time {text:?}: {} out of range", part(text)))?;
    let canonical = text.ends_with('Z')
        && match precision {
            Precision::Seconds => fraction.is_none(),
            Precision::Micros => fraction == Some(6),
        };
    if !canonical {
        *text = written(instant, precision);
    }
    Ok(())
}

fn written(instant: Timestamp, precision: Precision) -> String {
    // Go cuts fractions off towards the past; jiff's arithmetic on the nanoseconds does the same for both signs.
    let past = SignedDuration::from_nanos(i64::from(instant.subsec_nanosecond().rem_euclid(match precision {
        Precision::Seconds => 1_000_000_000,
        Precision::Micros => 1_000,
    })));
    let cut = instant.checked_sub(past).unwrap_or(instant).to_zoned(TimeZone::UTC);
    match precision {
        Precision::Seconds => cut.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Precision::Micros => cut.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    }
}

/// Where a text stops being a time, and which element of Go's layout was wanted there.
struct Unparsed {
    at: usize,
    element: &'static str,
}

/// Walks the text along the layout; gives the number of fractional digits.
fn scan(text: &[u8]) -> Result<Option<usize>, Unparsed> {
    const LAYOUT: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let mut at = 0;
    for element in LAYOUT {
        let Some(found) = text.get(at..at + element.len()) else { return Err(Unparsed { at, element }) };
        let fits = match element {
            "-" | "T" | ":" => found == element.as_bytes(),
            _ => found.iter().all(u8::is_ascii_digit),
        };
        if !fits {
            return Err(Unparsed { at, element });
        }
        at += element.len();
    }
    let mut fraction = None;
    if text.get(at) == Some(&b'.') {
        let digits = text.iter().skip(at + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            fraction = Some(digits);
            at += 1 + digits;
        }
    }
    let zone = text.get(at..).unwrap_or_default();
    let known = match zone {
        [b'Z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if known { Ok(fraction) } else { Err(Unparsed { at, element: "Z07:00" }) }
}

/// Which part of a well-formed time is out of range, in Go's order of checks.
fn part(text: &str) -> &'static str {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0);
    match () {
        () if !(1..=12).contains(&number(5, 7)) => "month",
        () if number(11, 13) > 23 => "hour",
        () if number(14, 16) > 59 => "minute",
        () if number(17, 19) > 59 => "second",
        () => "day",
    }
}
