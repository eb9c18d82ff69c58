//! The formats that strings can be asked to have (`kube-openapi/pkg/validation/strfmt`). Unknown formats say nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use jiff::civil::Date;
use minato_kinds::names;
use regex::Regex;

use crate::schema::compile_pattern;

/// Whether `text` has the format of that name.
pub(crate) fn matches(format: &str, text: &str) -> bool {
    // `date-time` and `datetime` are the same.
    match format.replace('-', "").as_str() {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<Date>().is_ok(),
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "email" => is_email(text),
        "hostname" => is_host_name(text),
        "uri" => is_uri(text),
        "k8sshortname" => names::dns_label(text).is_empty(),
        "k8slongname" => names::dns_subdomain(text).is_empty(),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "creditcard" => is_credit_card(text),
        name => match PATTERNS.iter().find(|(known, _)| *known == name) {
            Some((_, Some(pattern))) => pattern.is_match(text),
            _ => true,
        },
    }
}

static PATTERNS: LazyLock<Vec<(&str, Option<Regex>)>> = LazyLock::new(|| {
    [
        ("uuid", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
        ("uuid3", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
        ("uuid4", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
        ("uuid5", r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
        ("ssn", r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"),
        ("hexcolor", r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
        (
            "rgbcolor",
            r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$",
        ),
        ("bsonobjectid", r"^[0-9a-fA-F]{24}$"),
    ]
    .into_iter()
    .map(|(name, pattern)| (name, compile_pattern(pattern).ok()))
    .collect()
});

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let bits = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let canonical = length == "0" || !length.starts_with(['0', '+']);
    canonical && length.parse::<u8>().is_ok_and(|length| length <= bits)
}

/// Six, eight or twenty bytes in hexadecimal: by twos with colons or dashes, by fours with dots.
fn is_mac(text: &str) -> bool {
    let hex = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let by = |separator: char, digits: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| hex(part, digits))
    };
    by(':', 2, [6, 8, 20]) || by('-', 2, [6, 8, 20]) || by('.', 4, [3, 4, 10])
}

/// RFC 3339; the zone may be left out, and the time of day may be as short as Go's layouts allow.
fn is_date_time(text: &str) -> bool {
    let Some(at) = text.find(['T', 't']) else { return false };
    let (date, time) = (&text[..at], &text[at + 1..]);
    if date.len() != 10 || date.parse::<Date>().is_err() {
        return false;
    }
    let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = (&time[..zone], &time[zone..]);
    let clock = time.split('.').next().unwrap_or_default();
    let parts: Vec<Option<u8>> = clock.split(':').map(|part| part.parse().ok().filter(|_| part.len() == 2)).collect();
    let in_range = match parts.as_slice() {
        [Some(hour), Some(minute)] => *hour < 24 && *minute < 60,
        [Some(hour), Some(minute), Some(second)] => *hour < 24 && *minute < 60 && *second < 60,
        _ => false,
    };
    let fraction = time
        .split_once('.')
        .is_none_or(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let zone_fits = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => true,
        [b'+' | b'-', rest @ ..] => {
            let digits: Vec<&u8> = rest.iter().filter(|byte| **byte != b':').collect();
            digits.len() == 4 && digits.iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    in_range && fraction && zone_fits
}

/// Go's durations (`1h30m`), and words as `3 days`.
fn is_duration(text: &str) -> bool {
    is_go_duration(text) || {
        const UNITS: [&str; 10] = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "nano"];
        const WORDS: [&str; 9] =
            ["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "milli"];
        let text = text.trim().to_lowercase();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let unit = text[digits..].trim();
        digits > 0
            && text[..digits].parse::<f64>().is_ok()
            && (UNITS.contains(&unit) || WORDS.contains(&unit.strip_suffix('s').unwrap_or(unit)))
    }
}

fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        let after = &rest[digits..];
        let Some(unit) = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].iter().find(|unit| after.starts_with(**unit))
        else {
            return false;
        };
        // `ms` before `m`: the list above has it first.
        rest = &after[unit.len()..];
    }
    true
}

fn is_email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(start), Some(whole)) => &whole[start + 1..],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom =
        |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !"()<>[]:;@\\,\"".contains(c));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(atom)) && domain.split('.').all(atom)
}

fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.len() <= 255
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

/// An absolute URI or an absolute path, as Go's `url.ParseRequestURI` takes it.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    match text.split_once(':') {
        Some((scheme, rest)) => {
            let mut letters = scheme.chars();
            letters.next().is_some_and(|c| c.is_ascii_alphabetic())
                && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                && !rest.is_empty()
        }
        None => false,
    }
}

fn digits_of(text: &str) -> Vec<char> {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = digits_of(text);
    let value = |index: usize, c: char| match c {
        'X' | 'x' if index == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.iter().enumerate().map(|(index, c)| value(index, *c)).collect();
    values.is_some_and(|values| {
        values.len() == 10
            && values.iter().enumerate().map(|(index, digit)| (index as u32 + 1) * digit).sum::<u32>() % 11 == 0
    })
}

fn is_isbn13(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits_of(text).iter().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let weighted = values.iter().enumerate().map(|(index, digit)| if index % 2 == 0 { *digit } else { digit * 3 });
        values.len() == 13 && weighted.sum::<u32>() % 10 == 0
    })
}

/// The Luhn sum.
fn is_credit_card(text: &str) -> bool {
    let values: Option<Vec<u32>> = digits_of(text).iter().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let doubled = values.iter().rev().enumerate().map(|(index, digit)| match index % 2 {
            0 => *digit,
            _ if *digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        });
        (13..=19).contains(&values.len()) && doubled.sum::<u32>() % 10 == 0
    })
}
