//! Checks that many kinds share.

use std::net::IpAddr;

use serde_json::Value;

use crate::error::Errors;
use crate::names::{self, Complaints};
use crate::path::At;
use crate::read::Read;

pub(crate) const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";

/// The integer `holder.name`, if any, must not be negative.
pub(crate) fn nonnegative(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(value) = holder.int(name).filter(|value| *value < 0) {
        errors.invalid(&at.field(name), value, NEGATIVE);
    }
}

/// The integer `holder.name`, if any, must be above zero.
pub(crate) fn positive(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(value) = holder.int(name).filter(|value| *value <= 0) {
        errors.invalid(&at.field(name), value, "must be greater than 0");
    }
}

/// The string `holder.name` must be there.
pub(crate) fn required(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if holder.text(name).is_empty() {
        errors.required(&at.field(name), "");
    }
}

/// The string `holder.name` must be there and one of `supported`.
pub(crate) fn one_of(holder: &Value, name: &str, supported: &[&str], at: &At<'_>, errors: &mut Errors) {
    match holder.text(name) {
        "" => errors.required(&at.field(name), ""),
        value if supported.contains(&value) => {}
        value => errors.not_supported(&at.field(name), value, supported),
    }
}

/// The string `holder.name` must be one of `supported`, if it is there.
pub(crate) fn one_of_if(holder: &Value, name: &str, supported: &[&str], at: &At<'_>, errors: &mut Errors) {
    if let Some(value) = holder.text_if(name).filter(|value| !supported.contains(value)) {
        errors.not_supported(&at.field(name), value, supported);
    }
}

/// The string `holder.name`, if not empty, must pass `check`.
pub(crate) fn named(holder: &Value, name: &str, check: fn(&str) -> Complaints, at: &At<'_>, errors: &mut Errors) {
    let value = holder.text(name);
    if !value.is_empty() {
        errors.each_invalid(&at.field(name), value, check(value));
    }
}

/// The string `holder.name` must be there and pass `check`.
pub(crate) fn required_named(
    holder: &Value,
    name: &str,
    check: fn(&str) -> Complaints,
    at: &At<'_>,
    errors: &mut Errors,
) {
    required(holder, name, at, errors);
    named(holder, name, check, at, errors);
}

/// `new.name` must say the same as `old.name`.
pub(crate) fn immutable(new: &Value, old: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if !crate::same::same(new.at(name), old.at(name)) {
        errors.invalid(&at.field(name), new.or_null(name).clone(), IMMUTABLE);
    }
}

/// A port's number or name: `80`, `"http"`.
pub(crate) fn port(port: &Value, at: &At<'_>, errors: &mut Errors) {
    match port {
        Value::String(name) => errors.each_invalid(at, name, names::port_name(name)),
        port => {
            let number = port.as_i64().unwrap_or(0);
            for message in names::port_number(number) {
                errors.invalid(at, number, message);
            }
        }
    }
}

/// The port number `holder.name`.
pub(crate) fn port_number(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    let number = holder.int(name).unwrap_or(0);
    for message in names::port_number(number) {
        errors.invalid(&at.field(name), number, message);
    }
}

/// An IP address, in a form that all programs read alike. Answers it, if it is one.
pub(crate) fn ip(text: &str, at: &At<'_>, errors: &mut Errors) -> Option<IpAddr> {
    let parsed: Option<IpAddr> = text.parse().ok();
    let complaint = match parsed {
        Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => "must not be an IPv4-mapped IPv6 address",
        Some(_) => return parsed,
        None if has_leading_zeros(text) => "must not have leading 0s",
        None => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    };
    errors.invalid(at, text, complaint);
    None
}

/// The range of addresses that share a prefix, in a form that all programs read alike.
pub(crate) fn cidr(text: &str, at: &At<'_>, errors: &mut Errors) -> Option<(IpAddr, u8)> {
    let parsed = parse_cidr(text);
    let complaint = match parsed {
        Some((IpAddr::V6(address), _)) if address.to_ipv4_mapped().is_some() => {
            "must not have an IPv4-mapped IPv6 address"
        }
        Some((address, length)) if has_bits_beyond(address, length) => {
            "must not have bits set beyond the prefix length"
        }
        Some(_) if text.rsplit_once('/').is_some_and(|(_, length)| length.len() > 1 && length.starts_with('0')) => {
            "must not have leading 0s in IP or prefix length"
        }
        Some(_) => return parsed,
        None if text.split_once('/').is_some_and(|(address, _)| has_leading_zeros(address)) => {
            "must not have leading 0s in IP or prefix length"
        }
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    };
    errors.invalid(at, text, complaint);
    None
}

/// Whether the text would be an IPv4 address without its leading zeros.
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_octet = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok();
    parts.len() == 4 && parts.iter().all(is_octet) && text.parse::<IpAddr>().is_err()
}

fn has_bits_beyond(address: IpAddr, length: u8) -> bool {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_shl(length.into()).is_some_and(|rest| rest != 0),
        IpAddr::V6(address) => address.to_bits().checked_shl(length.into()).is_some_and(|rest| rest != 0),
    }
}

pub(crate) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u8 = length.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (length <= longest).then_some((address, length))
}

/// Addresses that mean nothing beyond one machine or link.
pub(crate) fn special_ip(text: &str, address: IpAddr, at: &At<'_>, errors: &mut Errors) {
    if address.is_unspecified() {
        errors.invalid(at, text, format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        errors.invalid(at, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0 == 0xfe80, address.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        errors.invalid(at, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid(at, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// A path without `..` elements.
pub(crate) fn no_backsteps(path: &str, at: &At<'_>, errors: &mut Errors) {
    if path.split('/').any(|part| part == "..") {
        errors.invalid(at, path, "must not contain '..'");
    }
}

/// A relative path without `..` elements.
pub(crate) fn descending_path(path: &str, at: &At<'_>, errors: &mut Errors) {
    if path.starts_with('/') {
        errors.invalid(at, path, "must be a relative path");
    }
    no_backsteps(path, at, errors);
}

/// A relative path without `..` elements, whose first element does not start with `..`.
pub(crate) fn non_reserved_path(path: &str, at: &At<'_>, errors: &mut Errors) {
    descending_path(path, at, errors);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(at, path, "must not start with '..'");
    }
}

/// A file mode.
pub(crate) fn file_mode(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(mode) = holder.int(name).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(&at.field(name), mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// Whether a plain map of labels is contained in another.
pub(crate) fn labels_match(selector: &serde_json::Map<String, Value>, labels: &Value) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// `example.com/path`.
pub(crate) fn domain_prefixed_path(path: &str, at: &At<'_>, errors: &mut Errors) {
    match path.split_once('/') {
        _ if path.is_empty() => errors.required(at, ""),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            errors.each_invalid(at, host, names::dns_subdomain(host));
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(allowed) {
                let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.invalid(at, rest, detail);
            }
        }
        _ => errors.invalid(at, path, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}
