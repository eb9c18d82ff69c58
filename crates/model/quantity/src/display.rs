//! From quantity to canonical text: no fraction, the largest suffix that loses nothing.

use std::fmt;

use crate::{Format, NANOS, Quantity};

const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        match self.format {
            // Small or fractional amounts are shown in decimal: nothing is lost and nobody is confused.
            Format::BinarySi if self.nanos.abs() >= 1024 * NANOS && self.is_integer() => binary(self.nanos / NANOS, f),
            Format::BinarySi | Format::DecimalSi => decimal(self.nanos, Format::DecimalSi, f),
            Format::DecimalExponent => decimal(self.nanos, Format::DecimalExponent, f),
        }
    }
}

fn binary(mut value: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut power = 0;
    while value % 1024 == 0 && power + 1 < BINARY_SUFFIXES.len() {
        value /= 1024;
        power += 1;
    }
    write!(f, "{value}{}", BINARY_SUFFIXES[power])
}

fn decimal(nanos: i128, format: Format, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut value = nanos;
    let mut thousands = 0;
    while value % 1000 == 0 {
        value /= 1000;
        thousands += 1;
    }
    let exponent = thousands * 3 - 9;
    match DECIMAL_SUFFIXES.get(thousands as usize) {
        Some(suffix) if format == Format::DecimalSi => write!(f, "{value}{suffix}"),
        _ if exponent == 0 => write!(f, "{value}"),
        _ => write!(f, "{value}e{exponent}"),
    }
}
