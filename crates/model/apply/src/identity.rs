//! The fields that nobody owns: identity, what the server keeps, and what a request cannot change.

/// Below `metadata`.
const METADATA: [&str; 9] = [
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Which fields a walk over an object leaves out: identity, and the top-level fields in `reset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored<'a> {
    pub(crate) reset: &'a [&'a str],
}

impl<'a> Ignored<'a> {
    /// Whether the top-level field `name` is nobody's.
    pub(crate) fn at_top(self, name: &str) -> bool {
        matches!(name, "apiVersion" | "kind") || self.reset.contains(&name)
    }

    /// Whether the field `name` of the metadata is nobody's.
    pub(crate) fn in_metadata(name: &str) -> bool {
        METADATA.contains(&name)
    }
}
