//! What a writer asks for: operations that happen together or not at all.

use crate::{Attributes, Key, Revision, Template};

/// What must be true of a key before its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is stored there.
    Absent,
    /// This version is stored there.
    Revision(Revision),
    /// Something or nothing.
    Any,
}

impl Expected {
    pub(crate) fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Revision(revision) => found == Some(revision),
            Self::Any => true,
        }
    }
}

/// One step of a [`Transaction`].
#[derive(Debug, Clone)]
pub enum Operation {
    /// Create or replace an object.
    Put {
        /// Where.
        key: Key,
        /// The new version.
        value: Template,
        /// What selectors look at.
        attributes: Attributes,
        /// The precondition.
        expected: Expected,
    },
    /// Remove an object. It is a conflict when there is none, whatever is expected.
    Delete {
        /// Where.
        key: Key,
        /// The precondition.
        expected: Expected,
        /// The final state that watchers are sent.
        last: Template,
    },
    /// Change nothing, only insist.
    Check {
        /// Where.
        key: Key,
        /// The precondition.
        expected: Expected,
    },
}

impl Operation {
    /// The object it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    pub(crate) fn expected(&self) -> Expected {
        match self {
            Self::Put { expected, .. } | Self::Delete { expected, .. } | Self::Check { expected, .. } => *expected,
        }
    }

    /// The bytes of JSON it carries.
    pub fn size(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.bytes.len(),
            Self::Delete { last, .. } => last.bytes.len(),
            Self::Check { .. } => 0,
        }
    }
}

/// Operations that are applied in order, together or not at all. Each change gets its own revision.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// The steps.
    pub operations: Vec<Operation>,
}

impl From<Operation> for Transaction {
    fn from(operation: Operation) -> Self {
        Self { operations: vec![operation] }
    }
}

impl From<Vec<Operation>> for Transaction {
    fn from(operations: Vec<Operation>) -> Self {
        Self { operations }
    }
}

/// A precondition did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {}, not as expected", found.map_or("absent".to_owned(), |revision| format!("at revision {revision}")))]
pub struct Conflict {
    /// The object.
    pub key: Key,
    /// The version stored there, if any.
    pub found: Option<Revision>,
}
