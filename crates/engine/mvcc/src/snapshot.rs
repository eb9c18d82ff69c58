//! The state of the store at one revision: [`Database`] of all resources, [`Snapshot`] of one.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::key::{Place, PlaceRef};
use crate::{Event, EventKind, Object, Revision};

pub(crate) type Table = OrdMap<Place, Arc<Object>>;

/// Every object at one revision. A clone is two pointer copies.
#[derive(Clone, Default)]
pub struct Database {
    pub(crate) revision: Revision,
    pub(crate) tables: OrdMap<Arc<str>, Table>,
}

impl Database {
    /// The last change it contains.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Every object, by resource, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.tables.values().flat_map(OrdMap::values)
    }

    /// The objects of one resource.
    pub fn snapshot(&self, resource: &str) -> Snapshot {
        Snapshot { revision: self.revision, table: self.tables.get(resource).cloned().unwrap_or_default() }
    }

    pub(crate) fn get(&self, resource: &str, place: PlaceRef<'_>) -> Option<&Arc<Object>> {
        self.tables.get(resource)?.get(&place)
    }

    pub(crate) fn insert(&mut self, object: Arc<Object>) {
        let resource = object.key.resource.clone();
        self.tables.entry(resource).or_default().insert(object.key.place(), object);
    }

    pub(crate) fn remove(&mut self, resource: &str, place: PlaceRef<'_>) {
        let Some(table) = self.tables.get_mut(resource) else { return };
        table.remove(&place);
        if table.is_empty() {
            self.tables.remove(resource);
        }
    }
}

/// The objects of one resource at one revision, ordered by namespace and name. Nothing changes it.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) table: Table,
}

impl Snapshot {
    /// Every change up to this one is in it, and none after.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.table.get(&PlaceRef { namespace, name })
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.table.values()
    }

    /// The objects of a namespace.
    pub fn iter_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        self.from(Bound::Included(PlaceRef { namespace, name: "" }))
            .take_while(move |object| &*object.key.namespace == namespace)
    }

    /// The objects that follow (`namespace`, `name`), which need not exist, in all namespaces from there on.
    pub fn iter_after<'a>(&'a self, namespace: &'a str, name: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        self.from(Bound::Excluded(PlaceRef { namespace, name }))
    }

    /// The objects of `namespace` that follow `name`, which need not exist.
    pub fn iter_namespace_after<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        self.iter_after(namespace, name).take_while(move |object| &*object.key.namespace == namespace)
    }

    fn from<'a>(&'a self, start: Bound<PlaceRef<'a>>) -> impl Iterator<Item = &'a Arc<Object>> {
        self.table.range((start, Bound::Unbounded)).map(|(_, object)| object)
    }

    /// Takes back the newest change.
    pub(crate) fn undo(&mut self, event: &Event) {
        let place = event.object.key.place();
        match (event.kind, &event.previous) {
            (EventKind::Modified | EventKind::Deleted, Some(previous)) => {
                self.table.insert(place, previous.clone());
            }
            (EventKind::Created, _) | (_, None) => {
                self.table.remove(&place);
            }
        }
    }
}
