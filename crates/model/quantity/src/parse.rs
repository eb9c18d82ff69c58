//! From text to quantity, accepting and refusing exactly what the reference does.

use crate::{Format, NANOS, Quantity};

/// Why a text is no quantity. The messages are the API's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not number-then-suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// No digits at all. (The reference reads some of these, such as `Ki` and `-`, as zero.)
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// Made of suffix letters, but none of the known suffixes.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The pieces of a quantity as written.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    suffix: &'a str,
}

pub(crate) fn parse(text: &str) -> Result<Quantity, ParseQuantityError> {
    if text.is_empty() {
        return Err(ParseQuantityError::Format);
    }
    let parts = split(text)?;
    let (scale, format) = interpret(parts.suffix).ok_or(ParseQuantityError::Suffix)?;
    if parts.whole.is_empty() && parts.fraction.is_empty() && !text.contains('0') {
        return Err(ParseQuantityError::Numeric);
    }
    let mut nanos = match scale {
        Scale::Ten(exponent) => decimal(&parts, exponent),
        Scale::Two(exponent) => binary(&parts, exponent),
    };
    let mut format = format;
    if format == Format::BinarySi {
        nanos = nanos.min(i128::from(i64::MAX) * NANOS);
        if nanos > 0 && nanos < NANOS {
            format = Format::DecimalSi;
        }
    }
    Ok(Quantity { nanos: if parts.negative { -nanos } else { nanos }, format })
}

fn split(text: &str) -> Result<Parts<'_>, ParseQuantityError> {
    let (negative, rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, rest) = digits(rest);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    let suffix = rest;
    let letters = rest.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
    let exponent = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !digits(exponent).1.is_empty() {
        return Err(ParseQuantityError::Format);
    }
    Ok(Parts { negative, whole: whole.trim_start_matches('0'), fraction, suffix })
}

/// Leading digits and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn interpret(suffix: &str) -> Option<(Scale, Format)> {
    let decimal = |exponent| Some((Scale::Ten(exponent), Format::DecimalSi));
    let binary = |exponent| Some((Scale::Two(exponent), Format::BinarySi));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((Scale::Ten(exponent.clamp(-1000, 1000) as i32), Format::DecimalExponent))
        }
    }
}

/// Billionths of `whole.fraction × 10^exponent`; what is finer than a billionth rounds up, what is too large saturates.
fn decimal(parts: &Parts<'_>, exponent: i32) -> i128 {
    // Digits are read left to right; `place` is the power of ten, in billionths, of the next one.
    let mut place = exponent + 9 + parts.whole.len() as i32 - 1;
    let mut nanos: i128 = 0;
    let mut rest = false;
    for digit in parts.whole.bytes().chain(parts.fraction.bytes()).map(|byte| i128::from(byte - b'0')) {
        if digit != 0 {
            if place < 0 {
                rest = true;
            } else {
                nanos = nanos.saturating_add(digit.saturating_mul(power_of_ten(place)));
            }
        }
        place -= 1;
    }
    nanos.saturating_add(i128::from(rest))
}

fn power_of_ten(exponent: i32) -> i128 {
    u32::try_from(exponent).ok().and_then(|exponent| 10i128.checked_pow(exponent)).unwrap_or(i128::MAX)
}

/// Billionths of `whole.fraction × 2^exponent`, rounded up.
fn binary(parts: &Parts<'_>, exponent: u32) -> i128 {
    let factor = 1i128 << exponent;
    let mut whole: i128 = 0;
    for byte in parts.whole.bytes() {
        whole = whole.saturating_mul(10).saturating_add(i128::from(byte - b'0'));
    }
    let mut nanos = whole.saturating_mul(factor).saturating_mul(NANOS);
    // The fraction in eighteenths of a decimal place: 10^18 × 2^60 still fits; finer digits only round up.
    const PLACES: usize = 18;
    let mut fraction: i128 = 0;
    for place in 0..PLACES {
        fraction = fraction * 10 + parts.fraction.as_bytes().get(place).map_or(0, |byte| i128::from(byte - b'0'));
    }
    if parts.fraction.bytes().skip(PLACES).any(|byte| byte != b'0') {
        fraction += 1;
    }
    if fraction != 0 {
        let unit = 10i128.pow(PLACES as u32) / NANOS;
        let product = fraction * factor;
        nanos = nanos.saturating_add(product / unit + i128::from(product % unit != 0));
    }
    nanos
}
