//! Numbers that may be given as a share: `1`, `"25%"`.

use serde_json::Value;

use crate::error::Errors;
use crate::names;
use crate::path::At;

/// Checks that `value` is a number not below zero, or a percentage.
pub(crate) fn validate(value: &Value, at: &At<'_>, errors: &mut Errors) {
    match value {
        Value::String(text) => errors.each_invalid(at, text, names::percent(text)),
        Value::Number(number) => {
            if let Some(number) = number.as_i64().filter(|number| *number < 0) {
                errors.invalid(at, number, "must be greater than or equal to 0");
            }
        }
        value => errors.invalid(at, value.clone(), "must be an integer or percentage (e.g '5%%')"),
    }
}

/// The number before `%`.
pub(crate) fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The number, of either sort; 0 if it cannot be read.
pub(crate) fn amount(value: &Value) -> i64 {
    percent(value).or(value.as_i64()).unwrap_or(0)
}

/// Checks that a percentage is not above 100.
pub(crate) fn at_most_all(value: &Value, at: &At<'_>, errors: &mut Errors) {
    if percent(value).is_some_and(|percent| percent > 100) {
        errors.invalid(at, value.clone(), "must not be greater than 100%");
    }
}
