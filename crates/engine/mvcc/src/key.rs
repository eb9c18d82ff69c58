//! What identifies an object ([`Key`]) and a moment of the store ([`Revision`]).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use equivalent::{Comparable, Equivalent};

/// A moment of the whole store: every change has its own, larger than all before it. Starts at 1; 0 is "before all".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the change after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// Where an object is stored. The parts are shared, so a clone copies no text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The storage prefix, for example `core/pods` or `apps/deployments`.
    pub resource: Arc<str>,
    /// Empty for objects of the cluster.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `name` in `namespace` (empty for objects of the cluster).
    pub fn new(resource: impl Into<Arc<str>>, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn place(&self) -> Place {
        Place { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(formatter, "{}/{}", self.resource, self.name),
            namespace => write!(formatter, "{}/{namespace}/{}", self.resource, self.name),
        }
    }
}

/// An object's place among its resource: by namespace, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// A borrowed [`Place`], for look-ups.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct PlaceRef<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Equivalent<Place> for PlaceRef<'_> {
    fn equivalent(&self, other: &Place) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Comparable<Place> for PlaceRef<'_> {
    fn compare(&self, other: &Place) -> Ordering {
        self.namespace.cmp(&other.namespace).then_with(|| self.name.cmp(&other.name))
    }
}
