//! Structural schemas: what a CustomResourceDefinition says about the objects of its kind.
//!
//! [`Schema::compile`] reads the `openAPIV3Schema` of a version once; everything else walks the compiled form:
//!
//! ```text
//! request ─► prune (unknown fields go, and are told) ─► default ─► … ─► validate, list types, embedded resources
//! definition ─► check: is the schema structural, are its keywords allowed, are its defaults valid
//! ```
//!
//! Errors have upstream's words (`kube-openapi/pkg/validation`, `apiextensions-apiserver/pkg/apiserver/schema`), because
//! people and programs know them. Work is bounded: a schema whose alternatives multiply is given up on with an error.

mod check;
mod default;
mod embedded;
mod format;
mod list_type;
mod prune;
mod rules;
mod schema;
mod validate;

pub use check::check;
pub use default::{default, drop_nulls};
pub use embedded::validate_embedded;
pub use list_type::validate_lists;
pub use prune::{prune, prune_and_visit};
pub use rules::Rules;
pub use schema::{Additional, ListType, Schema, Type};
pub use validate::{blocks_rules, validate, validate_update};

#[cfg(test)]
mod tests;
