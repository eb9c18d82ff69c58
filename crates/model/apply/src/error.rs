//! Why a configuration is not applied.

use crate::{managers::Manager, path::Path};
use std::collections::BTreeMap;

/// Why a configuration is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The configuration says who owns what; that is the server's business.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The configuration is of another version than the request.
    #[error("Incorrect version specified in apply patch. Specified patch version: {found}, expected: {wanted}")]
    WrongVersion {
        /// `apiVersion` of the configuration.
        found: String,
        /// `apiVersion` of the request.
        wanted: String,
    },
    /// The configuration does not have the shape of its kind.
    #[error("failed to create typed patch object ({object}): {reason}")]
    Malformed {
        /// `default/web; apps/v1, Kind=Deployment`
        object: String,
        /// `.spec.foo: field not declared in schema`
        reason: String,
    },
    /// Others own fields that would change.
    #[error("{}", words(.0))]
    Conflicts(Vec<Conflict>),
}

impl ApplyError {
    /// The HTTP status of the answer.
    pub fn code(&self) -> u16 {
        match self {
            ApplyError::ManagedFieldsGiven | ApplyError::WrongVersion { .. } => 400,
            ApplyError::Malformed { .. } => 500,
            ApplyError::Conflicts(_) => 409,
        }
    }
}

/// A field that somebody else owns. The answer has one cause for each, of type `FieldManagerConflict`, with the field
/// and this message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("conflict with {manager}")]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// What they own.
    pub path: Path,
}

fn words(conflicts: &[Conflict]) -> String {
    if let [Conflict { manager, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {manager}: {path}");
    }
    let mut by_manager: BTreeMap<&Manager, Vec<&Path>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(&conflict.manager).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
