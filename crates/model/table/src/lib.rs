//! Printer columns: what `kubectl get` shows of every built-in kind.
//!
//! A [`Printer`] is a list of [`Column`]s and a function from an object to its cells. [`printer`] finds the one of a
//! kind; kinds without one of their own show name and age. Columns with a priority above zero appear with `-o wide`.
//!
//! Ages are relative to the time that the caller passes: nothing here looks at a clock.

mod age;
mod cells;
mod column;
mod json_path;
mod printers;

pub use age::human_duration;
pub use column::{Column, Printer};
pub use json_path::{JsonPath, JsonPathError};

/// The printer of a kind; `Name` and `Age` if the kind has none of its own.
#[must_use]
pub fn printer(group: &str, kind: &str) -> &'static Printer {
    let own = printers::ALL.iter().find(|(g, k, _)| *g == group && *k == kind);
    own.map_or(&printers::NAME_AND_AGE, |(_, _, printer)| printer)
}

#[cfg(test)]
mod tests;
