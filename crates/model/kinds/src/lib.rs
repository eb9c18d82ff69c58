//! The built-in kinds: what they are called, how they are filled in, what makes them valid.
//!
//! [`builtins`] is the one list of kinds that the API server serves of itself. Each entry is a [`Declaration`]: names,
//! scope, versions, subresources, selectable fields, and a [`Strategy`] that knows the kind's defaults and rules. The
//! API server drives every kind through the same methods of [`Declaration`] and never asks which kind it has:
//!
//! ```text
//! create: to_storage → default → name, uid, creationTimestamp → prepare_for_create → admission → validate → store
//! update: to_storage → default → prepare_for_update → admission → validate_update → store
//! status: to_storage → default → prepare_for_status_update → validate_status_update → store
//! other:  to_storage → default → prepare_for_subresource_update → validate_subresource_update → store
//! ```
//!
//! Objects are [`serde_json::Value`]s that already passed the shape check of `minato-schema`; where a value nevertheless
//! has another type than the API says, these functions read it as absent and never panic. Everything here is a plain
//! function of its arguments: no clock, no dice, no I/O. Error texts are those of `k8s.io/kubernetes/pkg/apis/*/validation`,
//! because people and programs know them.

mod admission;
mod apps;
mod batch;
mod builtins;
mod certificate;
mod check;
mod conditions;
mod config;
mod custom;
mod declaration;
mod device_names;
mod devices;
mod endpoints;
mod error;
mod event;
mod flow;
mod hpa;
mod int_or_percent;
mod lease;
pub mod metadata;
pub mod names;
mod namespace;
mod networking;
mod node;
mod path;
mod pod;
mod pod_template;
mod policy;
mod quota;
mod rbac;
mod read;
mod resources;
mod review;
mod runtime_class;
mod same;
mod seen;
mod selectable;
mod selector;
mod service;
mod service_account;
mod storage;
mod strategy;
mod volume_claim;
mod warnings;

pub use builtins::{builtins, by_resource, by_storage};
pub use declaration::{Convert, Declaration, Name, NameRule, Names, Rules, ScalePaths, Subresource, Verbs};
pub use error::{Errors, FieldError, FieldErrorKind};
pub use flow::{mandatory_flow_schema, mandatory_priority_level};
pub use path::{At, FieldPath};
pub use resources::is_extended as is_extended_resource;
pub use strategy::{Plain, Strategy};
