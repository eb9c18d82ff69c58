//! Limits that are written as a number or as a part of a whole.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What becomes of a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// The next whole number above.
    Up,
    /// The next whole number below.
    Down,
}

/// A number as it is, a percentage of `whole`; 0 for anything else, which validation refuses.
#[must_use]
pub fn scaled(value: &IntOrString, whole: i32, round: Round) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let hundredths = percent.max(0).saturating_mul(i64::from(whole.max(0)));
            let number = match round {
                Round::Up => hundredths.saturating_add(99) / 100,
                Round::Down => hundredths / 100,
            };
            i32::try_from(number).unwrap_or(i32::MAX)
        }
    }
}
