//! Kubernetes quantities: `100m`, `1.5Gi`, `12e6`.
//!
//! A [`Quantity`] is an exact number of billionths (the finest grain the API knows) and the notation it was written in.
//! Arithmetic is integer arithmetic; nothing is ever a float. [`Quantity::to_string`] gives the canonical form that
//! `k8s.io/apimachinery/pkg/api/resource` would give, so `0.5` comes out as `500m` and `1024Mi` as `1Gi`.
//!
//! Two bounds differ from the reference, which switches to big integers: amounts saturate at ±1.7 × 10²⁹, and a binary
//! quantity at 2⁶³ − 1 (the reference caps the latter too).

mod display;
mod parse;

pub use parse::ParseQuantityError;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Billionths in one unit.
const NANOS: i128 = 1_000_000_000;
/// Billionths in one thousandth.
const NANOS_PER_MILLI: i128 = 1_000_000;

/// The notation a quantity is printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `1k`, `500m`: powers of a thousand by letter.
    #[default]
    DecimalSi,
    /// `1Ki`, `64Mi`: powers of 1024.
    BinarySi,
    /// `1e3`: powers of ten as an exponent.
    DecimalExponent,
}

/// An exact amount of a resource.
///
/// Equality, order and hash look at the amount alone: `1Gi == 1024Mi == 1073741824`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing, in decimal notation.
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    /// Reads a quantity as the API does.
    pub fn parse(text: &str) -> Result<Quantity, ParseQuantityError> {
        parse::parse(text)
    }

    /// A whole number of units.
    pub const fn from_value(value: i64, format: Format) -> Quantity {
        Quantity { nanos: value as i128 * NANOS, format }
    }

    /// A number of thousandths, in decimal notation.
    pub const fn from_milli(milli: i64) -> Quantity {
        Quantity { nanos: milli as i128 * NANOS_PER_MILLI, format: Format::DecimalSi }
    }

    /// The amount in whole units, rounded up (away from zero for negative amounts, as the reference does).
    pub fn value(&self) -> i64 {
        saturate(round_up(self.nanos, NANOS))
    }

    /// The amount in thousandths, rounded up like [`Quantity::value`].
    pub fn milli_value(&self) -> i64 {
        saturate(round_up(self.nanos, NANOS_PER_MILLI))
    }

    /// The amount in billionths.
    pub const fn nanos(&self) -> i128 {
        self.nanos
    }

    /// The notation it is printed in.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether the amount is zero.
    pub const fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    pub const fn signum(&self) -> i128 {
        self.nanos.signum()
    }

    /// Whether the amount is a whole number of units.
    pub const fn is_integer(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// The same amount, rounded up to thousandths: what the API keeps of resource lists.
    #[must_use]
    pub fn rounded_up_to_milli(self) -> Quantity {
        Quantity { nanos: round_up(self.nanos, NANOS_PER_MILLI).saturating_mul(NANOS_PER_MILLI), format: self.format }
    }
}

/// `nanos / unit`, rounded away from zero.
fn round_up(nanos: i128, unit: i128) -> i128 {
    let whole = nanos / unit;
    match nanos % unit {
        0 => whole,
        rest => whole + rest.signum(),
    }
}

fn saturate(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl Add for Quantity {
    type Output = Quantity;

    fn add(mut self, other: Quantity) -> Quantity {
        self += other;
        self
    }
}

impl AddAssign for Quantity {
    /// The notation stays that of the left side, unless that is zero.
    fn add_assign(&mut self, other: Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(mut self, other: Quantity) -> Quantity {
        self -= other;
        self
    }
}

impl SubAssign for Quantity {
    /// The notation stays that of the left side, unless that is zero.
    fn sub_assign(&mut self, other: Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.nanos = self.nanos.saturating_sub(other.nanos);
    }
}

impl Neg for Quantity {
    type Output = Quantity;

    fn neg(self) -> Quantity {
        Quantity { nanos: self.nanos.saturating_neg(), format: self.format }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Quantity>>(quantities: I) -> Quantity {
        quantities.fold(Quantity::ZERO, Add::add)
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Quantity::parse(text)
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity such as 100m or 1Gi")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_value(value, Format::DecimalSi))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity { nanos: i128::from(value) * NANOS, format: Format::DecimalSi })
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Quantity, E> {
                Quantity::parse(&value.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
