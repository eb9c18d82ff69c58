//! The next state of the store, planned but not yet durable.

use std::ops::Bound;
use std::sync::Arc;

use crate::key::PlaceRef;
use crate::snapshot::Database;
use crate::{Conflict, Event, EventKind, Key, Object, Operation, Revision, Transaction};

/// Transactions on top of a published state. Dropping it leaves no trace.
///
/// The backend makes [`Draft::events`] durable and hands the draft to [`crate::Publisher::publish`].
pub struct Draft {
    pub(crate) base: Revision,
    pub(crate) next: Database,
    pub(crate) events: Vec<Arc<Event>>,
}

impl Draft {
    pub(crate) fn new(published: Database) -> Self {
        Self { base: published.revision, next: published, events: Vec::new() }
    }

    /// The changes so far, in the order of their revisions.
    pub fn events(&self) -> &[Arc<Event>] {
        &self.events
    }

    /// The revision that the store will have.
    pub fn revision(&self) -> Revision {
        self.next.revision
    }

    /// Applies all of `transaction`, or nothing of it and tells the first precondition that does not hold.
    ///
    /// Returns the objects written: of a deletion the last state, of a check nothing.
    pub fn apply(&mut self, transaction: Transaction) -> Result<Vec<Arc<Object>>, Conflict> {
        self.check(&transaction)?;
        let first = self.events.len();
        for operation in transaction.operations {
            self.apply_operation(operation);
        }
        Ok(self.events[first..].iter().map(|event| event.object.clone()).collect())
    }

    /// Whether every operation finds what it expects, given those before it in the same transaction.
    fn check(&self, transaction: &Transaction) -> Result<(), Conflict> {
        let mut revision = self.next.revision;
        let mut written: Vec<(&Key, Option<Revision>)> = Vec::with_capacity(transaction.operations.len());
        for operation in &transaction.operations {
            let key = operation.key();
            let found = match written.iter().rev().find(|(earlier, _)| *earlier == key) {
                Some((_, found)) => *found,
                None => self.get(key).map(|object| object.revision),
            };
            let missing = matches!(operation, Operation::Delete { .. }) && found.is_none();
            if missing || !operation.expected().holds(found) {
                return Err(Conflict { key: key.clone(), found });
            }
            match operation {
                Operation::Put { .. } => {
                    revision = revision.next();
                    written.push((key, Some(revision)));
                }
                Operation::Delete { .. } => {
                    revision = revision.next();
                    written.push((key, None));
                }
                Operation::Check { .. } => {}
            }
        }
        Ok(())
    }

    fn apply_operation(&mut self, operation: Operation) {
        let revision = self.next.revision.next();
        let event = match operation {
            Operation::Put { key, value, attributes, .. } => {
                let previous = self.get(&key).cloned();
                let (kind, created, key) = match &previous {
                    Some(previous) => (EventKind::Modified, previous.created, previous.key.clone()),
                    None => (EventKind::Created, revision, self.intern(key)),
                };
                Event::build(kind, revision, created, key, &value, attributes, previous)
            }
            Operation::Delete { key, last, .. } => {
                let Some(previous) = self.get(&key).cloned() else { return };
                let (key, created, attributes) = (previous.key.clone(), previous.created, previous.attributes.clone());
                Event::build(EventKind::Deleted, revision, created, key, &last, attributes, Some(previous))
            }
            Operation::Check { .. } => return,
        };
        match event.kind {
            EventKind::Created | EventKind::Modified => self.next.insert(event.object.clone()),
            EventKind::Deleted => {
                let key = &event.object.key;
                self.next.remove(&key.resource, PlaceRef { namespace: &key.namespace, name: &key.name });
            }
        }
        self.next.revision = revision;
        self.events.push(Arc::new(event));
    }

    fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.next.get(&key.resource, PlaceRef { namespace: &key.namespace, name: &key.name })
    }

    /// Lets a new object share the texts of its neighbours' keys.
    fn intern(&self, key: Key) -> Key {
        intern(&self.next, key)
    }
}

/// `key` with the resource and namespace texts of an object that is already there, if any is.
pub(crate) fn intern(database: &Database, key: Key) -> Key {
    let Some((resource, table)) = database.tables.get_key_value(&*key.resource) else { return key };
    let start = PlaceRef { namespace: &key.namespace, name: "" };
    let neighbour = table.range((Bound::Included(start), Bound::Unbounded)).next();
    let namespace = match neighbour {
        Some((place, _)) if place.namespace == key.namespace => place.namespace.clone(),
        _ => key.namespace,
    };
    Key { resource: resource.clone(), namespace, name: key.name }
}
