//! The shapes of Kubernetes objects.
//!
//! [`builtin`] gives the [`Schema`] of a built-in kind: a compact, shared structure that is compiled on first use from
//! `k8s-openapi`'s JSON Schemas and a table of facts about merging. [`parse_json`] reads a body and
//! tells of duplicate fields; [`conform`] checks the body against a schema as the Go decoder of Kubernetes would, in
//! its words. Patches and server-side apply look up list types, merge keys and patch strategies here.
//!
//! Prose is not kept: the OpenAPI documents, which need it, generate it anew when somebody asks.

mod compile;
mod conform;
mod facts;
mod kinds;
pub mod openapi;
mod parse;
mod place;
mod shape;

pub use conform::{Conformed, Misfit, TypeMismatch, conform, conform_configuration};
pub use facts::deletion_answers_with_object;
pub use kinds::builtin;
pub use parse::{ParseError, parse_json};
pub use shape::{Field, ListType, Patch, Schema};
