//! Where in an object something is.
//!
//! Validation walks objects with [`At`], a chain of borrowed links on the stack that costs nothing to extend; only when
//! there is something to complain about does it become an owned [`FieldPath`].

use std::fmt;

/// The path of a field as the API prints it: `spec.containers[0].env[1].name`, `metadata.labels[app]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(String);

impl FieldPath {
    /// A path from its printed form.
    pub fn new(path: impl Into<String>) -> FieldPath {
        FieldPath(path.into())
    }

    /// The printed form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the object being walked.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The object itself.
    Root,
    /// A property of a struct: `.name`.
    Field(&'a At<'a>, &'a str),
    /// An element of a list: `[3]`.
    Index(&'a At<'a>, usize),
    /// An entry of a map: `[app]`.
    Key(&'a At<'a>, &'a str),
}

impl<'a> At<'a> {
    /// The property `name` of what is here.
    pub fn field(&'a self, name: &'a str) -> At<'a> {
        At::Field(self, name)
    }

    /// The element `index` of the list here.
    pub fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }

    /// The entry `key` of the map here.
    pub fn key(&'a self, key: &'a str) -> At<'a> {
        At::Key(self, key)
    }

    /// The path, to keep.
    pub fn path(&self) -> FieldPath {
        FieldPath(self.to_string())
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(At::Root, name) => f.write_str(name),
            At::Field(parent, name) => write!(f, "{parent}.{name}"),
            At::Index(parent, index) => write!(f, "{parent}[{index}]"),
            At::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}
