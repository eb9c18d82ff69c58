//! Selectors: the little languages by which clients pick objects.
//!
//! [`LabelSelector`] is what `kubectl -l` and a workload's `spec.selector` speak, [`FieldSelector`] what
//! `--field-selector` speaks. Both parse with upstream's grammar and error words, print canonically, and match against
//! a look-up function, so that they need not know how an object is stored.
//!
//! ```
//! use minato_select::{FieldSelector, LabelSelector};
//!
//! let selector = LabelSelector::parse("app=web,tier in (a,b),!legacy")?;
//! let labels = [("app", "web"), ("tier", "b")];
//! assert!(selector.matches(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)));
//!
//! let selector = FieldSelector::parse("status.phase!=Running")?;
//! assert!(selector.matches(|path| (path == "status.phase").then_some("Pending")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod field;
mod label;
mod syntax;

pub use field::{FieldOperator, FieldRequirement, FieldSelector, ParseFieldSelectorError};
pub use label::{InvalidField, LabelSelector, Operator, ParseLabelSelectorError, Requirement, RequirementError};
pub use syntax::{label_key_errors, label_value_errors};
