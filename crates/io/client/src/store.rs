//! The local copy of all objects of one kind, with secondary indexes.
//!
//! Two writers feed a store: the watch, and a reconciler's own successful writes ([`Store::written`],
//! [`Store::gone`]), which arrive before the watch repeats them. Resource versions decide who is newer, so a
//! reconciler reads its own writes and an old event never overwrites them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::Resource;

use crate::key::ObjectKey;
use crate::resource_version;

/// What happened to one object: `before` is absent when it is new, `after` when it is gone.
#[derive(Debug)]
pub struct Change<K> {
    /// The object as the store had it.
    pub before: Option<Arc<K>>,
    /// The object as the store has it now.
    pub after: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The newest state known of the object.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// Both states, oldest first: for keys that must be looked at when an object moves from one to another.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.before.iter().chain(self.after.iter())
    }
}

/// Values under which an index lists an object.
pub(crate) type IndexFunction<K> = fn(&K) -> Vec<String>;

struct Indexed<K> {
    name: &'static str,
    values_of: IndexFunction<K>,
    entries: HashMap<String, HashMap<ObjectKey, Arc<K>>>,
}

/// All objects of one kind by key.
pub(crate) struct Store<K> {
    objects: HashMap<ObjectKey, Arc<K>>,
    indexes: Vec<Indexed<K>>,
    /// The newest resource version that the watch has shown.
    watched: u64,
    /// Own writes that the watch has not repeated yet, with their resource version.
    ahead: HashMap<ObjectKey, u64>,
    /// Uids of objects known to be deleted whose deletion the watch has not shown yet.
    tombstones: HashSet<String>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            indexes: Vec::new(),
            watched: 0,
            ahead: HashMap::new(),
            tombstones: HashSet::new(),
        }
    }
}

impl<K: Resource> Store<K> {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    pub(crate) fn objects(&self) -> impl ExactSizeIterator<Item = &Arc<K>> {
        self.objects.values()
    }

    /// Adds an index over everything there is, unless one of that name exists; returns its position.
    pub(crate) fn index(&mut self, name: &'static str, values_of: IndexFunction<K>) -> usize {
        if let Some(position) = self.indexes.iter().position(|index| index.name == name) {
            return position;
        }
        let mut index = Indexed { name, values_of, entries: HashMap::new() };
        for (key, object) in &self.objects {
            index.insert(key, object);
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    pub(crate) fn indexed(&self, position: usize, value: &str) -> impl Iterator<Item = &Arc<K>> {
        self.indexes.get(position).and_then(|index| index.entries.get(value)).into_iter().flat_map(HashMap::values)
    }

    /// The watch says that the object was added or modified.
    pub(crate) fn watched(&mut self, object: K) -> Option<Change<K>> {
        let version = resource_version(object.meta());
        self.watched = self.watched.max(version);
        let key = ObjectKey::of(object.meta());
        if self.ahead.get(&key).is_some_and(|ahead| *ahead <= version) {
            self.ahead.remove(&key);
        }
        let buried = object.meta().uid.as_ref().is_some_and(|uid| self.tombstones.contains(uid));
        if buried || self.is_stale(&key, version) { None } else { Some(self.put(key, object)) }
    }

    /// The watch says that the object was deleted; `object` is its last state.
    pub(crate) fn watched_deletion(&mut self, object: &K) -> Option<Change<K>> {
        let version = resource_version(object.meta());
        self.watched = self.watched.max(version);
        if let Some(uid) = &object.meta().uid {
            self.tombstones.remove(uid);
        }
        let key = ObjectKey::of(object.meta());
        let another_since = self
            .objects
            .get(&key)
            .is_some_and(|found| found.meta().uid != object.meta().uid && self.ahead.contains_key(&key));
        if another_since {
            return None;
        }
        self.ahead.remove(&key);
        self.remove(&key)
    }

    /// The API answered an own create, update, patch or graceful delete with this state.
    pub(crate) fn written(&mut self, object: K) -> Option<Change<K>> {
        let version = resource_version(object.meta());
        let key = ObjectKey::of(object.meta());
        if version <= self.watched || version == 0 || self.is_stale(&key, version) {
            return None; // the watch has shown this write already, and perhaps what came after it
        }
        self.ahead.insert(key.clone(), version);
        Some(self.put(key, object))
    }

    /// The API answered that the object with this uid does not exist any more.
    pub(crate) fn gone(&mut self, key: &ObjectKey, uid: &str) -> Option<Change<K>> {
        let found = self.objects.get(key)?;
        if found.meta().uid.as_deref() != Some(uid) {
            return None;
        }
        self.tombstones.insert(uid.to_owned());
        self.ahead.remove(key);
        self.remove(key)
    }

    /// Replaces everything by a fresh listing; own writes that are newer than the listing stay.
    pub(crate) fn replace(&mut self, listing: Vec<K>) -> Vec<Change<K>> {
        let newest = listing.iter().map(|object| resource_version(object.meta())).max().unwrap_or(0);
        let listed: HashSet<ObjectKey> = listing.iter().map(|object| ObjectKey::of(object.meta())).collect();
        let ahead = &self.ahead;
        let missing: Vec<ObjectKey> = self
            .objects
            .keys()
            .filter(|key| !listed.contains(*key) && ahead.get(*key).is_none_or(|version| *version <= newest))
            .cloned()
            .collect();
        self.tombstones.clear();
        let mut changes = Vec::new();
        for key in missing {
            self.ahead.remove(&key);
            changes.extend(self.remove(&key));
        }
        for object in listing {
            changes.extend(self.watched(object));
        }
        changes
    }

    fn is_stale(&self, key: &ObjectKey, version: u64) -> bool {
        version != 0 && self.objects.get(key).is_some_and(|found| resource_version(found.meta()) >= version)
    }

    fn put(&mut self, key: ObjectKey, object: K) -> Change<K> {
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        for index in &mut self.indexes {
            if let Some(before) = &before {
                index.remove(&key, before);
            }
            index.insert(&key, &object);
        }
        Change { before, after: Some(object) }
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Change<K>> {
        let before = self.objects.remove(key)?;
        for index in &mut self.indexes {
            index.remove(key, &before);
        }
        Some(Change { before: Some(before), after: None })
    }
}

impl<K> Indexed<K> {
    fn insert(&mut self, key: &ObjectKey, object: &Arc<K>) {
        for value in (self.values_of)(object) {
            self.entries.entry(value).or_default().insert(key.clone(), Arc::clone(object));
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for value in (self.values_of)(object) {
            if let Some(entry) = self.entries.get_mut(&value) {
                entry.remove(key);
                if entry.is_empty() {
                    self.entries.remove(&value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_owned());
        object.metadata.namespace = Some("ns".to_owned());
        object.metadata.uid = Some(uid.to_owned());
        object.metadata.resource_version = Some(version.to_string());
        object.labels_mut().insert("half".to_owned(), (version % 2).to_string());
        object
    }

    /// Names and versions in the store, sorted.
    fn contents(store: &Store<ConfigMap>) -> Vec<(String, u64)> {
        let mut all: Vec<_> =
            store.objects().map(|found| (found.name_any(), resource_version(&found.metadata))).collect();
        all.sort();
        all
    }

    #[test]
    fn an_own_write_is_not_overwritten_by_older_events() {
        let mut store = Store::default();
        store.watched(object("a", "1", 10));
        assert!(store.written(object("a", "1", 13)).is_some());
        assert!(store.watched(object("a", "1", 12)).is_none());
        assert!(store.watched(object("a", "1", 13)).is_none(), "the echo of an own write is no change");
        assert_eq!(contents(&store), [("a".to_owned(), 13)]);
    }

    #[test]
    fn a_write_that_the_watch_has_passed_is_ignored() {
        let mut store = Store::default();
        store.watched(object("a", "1", 10));
        store.watched_deletion(&object("a", "1", 11));
        assert!(store.written(object("a", "1", 10)).is_none());
        assert!(contents(&store).is_empty());
    }

    #[test]
    fn a_deleted_object_does_not_come_back_through_old_events() {
        let mut store = Store::default();
        store.watched(object("a", "1", 10));
        assert!(store.gone(&ObjectKey::new("ns", "a"), "1").is_some());
        assert!(store.watched(object("a", "1", 12)).is_none());
        assert!(store.watched_deletion(&object("a", "1", 13)).is_none());
        assert!(store.watched(object("a", "2", 14)).is_some(), "a successor of the same name is another object");
        assert_eq!(contents(&store), [("a".to_owned(), 14)]);
    }

    #[test]
    fn the_deletion_of_a_predecessor_leaves_an_own_newer_object() {
        let mut store = Store::default();
        store.watched(object("a", "1", 10));
        store.written(object("a", "2", 12));
        assert!(store.watched_deletion(&object("a", "1", 11)).is_none());
        assert_eq!(contents(&store), [("a".to_owned(), 12)]);
        assert!(store.watched(object("a", "2", 12)).is_none());
        assert!(store.watched_deletion(&object("a", "2", 15)).is_some());
    }

    #[test]
    fn a_listing_replaces_all_but_newer_own_writes() {
        let mut store = Store::default();
        store.watched(object("gone", "1", 1));
        store.watched(object("same", "2", 2));
        store.watched(object("moved", "3", 3));
        store.written(object("own", "4", 9));
        let changes = store.replace(vec![object("same", "2", 2), object("moved", "3", 7), object("new", "5", 8)]);
        assert_eq!(changes.len(), 3);
        let expected = [("moved", 7), ("new", 8), ("own", 9), ("same", 2)];
        assert_eq!(contents(&store), expected.map(|(name, version)| (name.to_owned(), version)));
    }

    #[test]
    fn indexes_follow_every_change() {
        let by_half: IndexFunction<ConfigMap> = |object| object.labels().get("half").cloned().into_iter().collect();
        let mut store = Store::default();
        store.watched(object("a", "1", 2));
        let index = store.index("half", by_half);
        store.watched(object("b", "2", 4));
        let count = |store: &Store<ConfigMap>, value: &str| store.indexed(index, value).count();
        assert_eq!((count(&store, "0"), count(&store, "1")), (2, 0));
        store.watched(object("b", "2", 5));
        assert_eq!((count(&store, "0"), count(&store, "1")), (1, 1));
        store.watched_deletion(&object("a", "1", 6));
        assert_eq!((count(&store, "0"), count(&store, "1")), (0, 1));
        assert_eq!(store.index("half", by_half), index, "an index of the same name is shared");
    }
}
