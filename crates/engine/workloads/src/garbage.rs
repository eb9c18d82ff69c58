//! Garbage collection: what goes when its owners go.
//!
//! [`Graph`] holds every object of the cluster with its owner references, as watches report them. An owner that is
//! referred to before it was seen is a *virtual* node, until a watch shows it or the API says that there is none.
//!
//! The graph notes what is worth a look ([`Graph::take_work`]); [`Graph::decide`] says what to do about one object:
//!
//! | the object | decision |
//! |---|---|
//! | is virtual | ask the API for it |
//! | is being deleted in the foreground, no dependent blocks it | let it go: remove the finalizer |
//! | … some dependent blocks it | look at the dependents |
//! | is being deleted otherwise | nothing |
//! | has an owner that stays, and others that are gone or going | drop the reference to those |
//! | has only owners that are gone, or wait for it | delete it |
//! | has an owner that nobody knows | ask the API for it |

mod graph;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

pub use graph::Graph;

/// The finalizer by which an object waits for its dependents.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer by which an object's dependents are to survive it.
pub const ORPHAN: &str = "orphan";

/// An object's uid.
pub type Uid = Arc<str>;

/// A kind in one version, and whether it lives in namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `ReplicaSet`.
    pub kind: String,
}

impl Kind {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether both are the same kind, in whichever version.
    fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.group() == other.group()
    }
}

/// Which object: where to find it in the API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its kind.
    pub kind: Arc<Kind>,
    /// Empty for cluster-scoped objects; for an owner that was not seen yet, the namespace of its dependent.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Uid,
}

/// An object as a watch shows it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which object.
    pub identity: Identity,
    /// Its owners.
    pub owners: Vec<Owner>,
    /// `metadata.resourceVersion`
    pub resource_version: Arc<str>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has the finalizer [`FOREGROUND`].
    pub foreground: bool,
    /// Whether it has the finalizer [`ORPHAN`].
    pub orphan: bool,
}

/// A reference to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its uid.
    pub uid: Uid,
    /// Its kind.
    pub kind: Arc<Kind>,
    /// Its name.
    pub name: Arc<str>,
    /// Whether its foreground deletion waits for the dependent.
    pub blocks: bool,
}

impl Observed {
    /// Reads an object's metadata.
    #[must_use]
    pub fn new(kind: &Arc<Kind>, metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
        let has = |finalizer: &str| metadata.finalizers.iter().flatten().any(|found| found == finalizer);
        Self {
            identity: Identity {
                kind: Arc::clone(kind),
                namespace: text(&metadata.namespace),
                name: text(&metadata.name),
                uid: text(&metadata.uid),
            },
            owners: metadata.owner_references.iter().flatten().map(Owner::new).collect(),
            resource_version: text(&metadata.resource_version),
            deleting: metadata.deletion_timestamp.is_some(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        }
    }
}

impl Owner {
    fn new(reference: &OwnerReference) -> Self {
        Self {
            uid: reference.uid.as_str().into(),
            kind: Arc::new(Kind { api_version: reference.api_version.clone(), kind: reference.kind.clone() }),
            name: reference.name.as_str().into(),
            blocks: reference.block_owner_deletion == Some(true),
        }
    }
}

/// An object that is worth a look, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// It may have lost its owners, or the last dependent that blocked it.
    Look(Uid),
    /// Its dependents must be set free before it goes.
    Orphan(Uid),
}

/// How dependents fare when an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They stay, without owner.
    Orphan,
    /// They go first.
    Foreground,
    /// They go after it.
    Background,
}

/// What to do about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is as it should be, or waits for somebody else.
    Nothing,
    /// Ask the API whether these exist with this uid; then tell [`Graph::absent`] of those that do not and decide again.
    Ask(Vec<Identity>),
    /// Remove the finalizer [`FOREGROUND`].
    Finish(Identity),
    /// Remove the references to these owners.
    DropOwners(Identity, Vec<Uid>),
    /// Delete it, if its uid and resourceVersion are still these.
    Delete {
        /// Which object.
        identity: Identity,
        /// As it was when its owners were looked at.
        resource_version: Arc<str>,
        /// How its own dependents fare.
        policy: Policy,
        /// Clear `blockOwnerDeletion` first: it and a dependent of it wait for each other.
        unblock: bool,
    },
}

#[cfg(test)]
mod tests;
