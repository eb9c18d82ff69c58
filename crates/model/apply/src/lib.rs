//! Server-side apply: who owns which field of an object, and what follows when somebody applies a configuration.
//!
//! Pure functions over JSON values and schemas, after `sigs.k8s.io/structured-merge-diff` and the field managers of
//! `k8s.io/apimachinery`:
//!
//! - [`apply`] merges a configuration into an object. Fields that the manager applied before and leaves out now go,
//!   unless somebody else owns them; fields that others own and that would change are conflicts.
//! - [`track`] notes who changed what by any other write.
//!
//! Both read and write `metadata.managedFields` ([`Managers`]), whose entries hold a [`FieldSet`] each. How lists and
//! maps divide into fields is the schema's business ([`Topology`]).

mod apply;
mod compare;
mod custom;
mod error;
mod field_set;
mod identity;
mod last_applied;
mod managers;
mod merge;
mod path;
mod prune;
mod topology;
mod track;

pub use apply::{Apply, apply};
pub use custom::CustomTopology;
pub use error::{ApplyError, Conflict};
pub use field_set::FieldSet;
pub use managers::{Manager, Managers, Operation, Ownership};
pub use path::{Path, PathElement};
pub use topology::Topology;
pub use track::{Track, track};
