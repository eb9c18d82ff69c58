//! Where in a document we are, kept on the stack and written out only when there is something to say about it.

use std::fmt;

/// A path from the document's root, innermost step first.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

/// How many unknown or duplicate fields are told of; a Go API server stops at the same number.
pub(crate) const REPORTED_MAX: usize = 100;

impl<'a> Place<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Place<'a> {
        Place::Field(self, name)
    }

    pub(crate) fn item(&'a self, index: usize) -> Place<'a> {
        Place::Item(self, index)
    }

    /// Adds this place to a list of reports, unless it is full or has it already.
    pub(crate) fn report(&self, reports: &mut Vec<String>) {
        if reports.len() < REPORTED_MAX {
            let place = self.to_string();
            if !reports.contains(&place) {
                reports.push(place);
            }
        }
    }
}

/// `spec.containers[0].image`
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Field(Place::Root, name) => f.write_str(name),
            Place::Field(outer, name) => write!(f, "{outer}.{name}"),
            Place::Item(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}
