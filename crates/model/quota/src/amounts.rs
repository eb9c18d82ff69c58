//! Amounts of resources, by name.

use std::collections::BTreeMap;
use std::fmt;

use minato_quantity::{Format, Quantity};
use serde_json::{Map, Value};

/// A resource list: `{"cpu": "500m", "pods": "3"}`. Prints as `cpu=500m,pods=3`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(pub BTreeMap<String, Quantity>);

impl Amounts {
    /// The list at `value`; what cannot be read is left out.
    pub fn read(value: &Value) -> Amounts {
        let entries = value.as_object().into_iter().flatten();
        Amounts(entries.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect())
    }

    /// The list as the API writes it.
    pub fn to_value(&self) -> Value {
        let entries = self.0.iter().map(|(name, amount)| (name.clone(), Value::String(amount.to_string())));
        Value::Object(Map::from_iter(entries))
    }

    /// The amount of one resource.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Adds to one resource.
    pub fn add(&mut self, name: impl Into<String>, amount: Quantity) {
        *self.0.entry(name.into()).or_default() += amount;
    }

    /// Adds a whole number.
    pub(crate) fn count(&mut self, name: impl Into<String>, number: i64) {
        self.add(name, Quantity::from_value(number, Format::DecimalSi));
    }

    /// Adds another list.
    pub fn add_all(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            self.add(name.as_str(), *amount);
        }
    }

    /// Takes another list away; what is only there becomes negative.
    pub fn subtract_all(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            self.add(name.as_str(), -*amount);
        }
    }

    /// Makes every amount at least that of `other`.
    pub(crate) fn raise_to(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_insert(*amount);
            if *entry < *amount {
                *entry = *amount;
            }
        }
    }

    /// Only the resources for which `keeps`.
    pub(crate) fn only(&self, keeps: impl Fn(&str) -> bool) -> Amounts {
        let kept = self.0.iter().filter(|(name, _)| keeps(name));
        Amounts(kept.map(|(name, amount)| (name.clone(), *amount)).collect())
    }
}

impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, amount)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}={amount}")?;
        }
        Ok(())
    }
}

/// A quantity as it stands in an object: text or number.
pub(crate) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
