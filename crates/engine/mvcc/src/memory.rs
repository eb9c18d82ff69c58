//! The shared state: what is published, and who watches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::draft::{Draft, intern};
use crate::feed::{Feed, Wakes};
use crate::key::PlaceRef;
use crate::{Compacted, Cursor, Database, Event, Interest, Key, Object, Revision, Snapshot};

/// Bounds of what is kept beside the objects themselves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most events kept per resource.
    pub log_events_max: usize,
    /// The most bytes that the kept events of a resource may hold on to.
    pub log_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_events_max: 32_768, log_bytes_max: 32 << 20 }
    }
}

pub(crate) struct Shared {
    database: RwLock<Database>,
    feeds: RwLock<HashMap<Arc<str>, Arc<Feed>>>,
    /// All events up to here are in the feeds. Follows the database's revision.
    published: AtomicU64,
    /// Wakes those who wait for a revision.
    advanced: event_listener::Event,
    /// Where history begins: the revision at start. Nothing before it can be watched.
    origin: Revision,
    options: Options,
}

impl Shared {
    pub(crate) fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    fn feed(&self, resource: &str) -> Arc<Feed> {
        if let Some(feed) = self.feeds.read().get(resource) {
            return feed.clone();
        }
        let mut feeds = self.feeds.write();
        match feeds.entry(Arc::from(resource)) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => entry.insert(Arc::new(Feed::new(self.origin))).clone(),
        }
    }
}

/// A handle to everything that is published. A clone is a pointer copy.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

/// A draft was made on a state that is no longer the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the draft continues revision {base}, but revision {published} is published")]
pub struct StaleDraft {
    /// The revision under the draft.
    pub base: Revision,
    /// The revision that is published.
    pub published: Revision,
}

/// The one writer of a [`Memory`].
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Memory {
    /// A memory with the objects that a backend recovered, the last of whose changes, deletions included, was
    /// `revision`. There is no history before it.
    pub fn new(objects: impl IntoIterator<Item = Object>, revision: Revision, options: Options) -> (Self, Publisher) {
        let mut database = Database { revision, ..Database::default() };
        for mut object in objects {
            object.key = intern(&database, object.key);
            database.insert(Arc::new(object));
        }
        let shared = Arc::new(Shared {
            database: RwLock::new(database),
            feeds: RwLock::default(),
            published: AtomicU64::new(revision.0),
            advanced: event_listener::Event::new(),
            origin: revision,
            options,
        });
        (Self { shared: shared.clone() }, Publisher { shared })
    }

    /// The last change that reads see.
    pub fn revision(&self) -> Revision {
        self.shared.database.read().revision
    }

    /// Waits until reads see `revision`. A dropped future leaves nothing behind.
    pub async fn reached(&self, revision: Revision) {
        while self.revision() < revision {
            let listener = self.shared.advanced.listen();
            // Again, for what came before we listened.
            if self.revision() < revision {
                listener.await;
            }
        }
    }

    /// The last change of any object of one resource that is still known; where none is, the revision at start.
    pub fn last_change(&self, resource: &str) -> Revision {
        let feed = self.shared.feed(resource);
        let log = feed.log.read();
        log.events.back().map_or(log.floor, |event| event.revision)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        let place = PlaceRef { namespace: &key.namespace, name: &key.name };
        self.shared.database.read().get(&key.resource, place).cloned()
    }

    /// Everything, at one revision.
    pub fn database(&self) -> Database {
        self.shared.database.read().clone()
    }

    /// The objects of one resource, now.
    pub fn snapshot(&self, resource: &str) -> Snapshot {
        self.shared.database.read().snapshot(resource)
    }

    /// The objects of one resource as they were at `revision`: the present ones with the later events undone.
    ///
    /// `None` when these events are no longer kept, or `revision` is yet to come.
    pub fn snapshot_at(&self, resource: &str, revision: Revision) -> Option<Snapshot> {
        let feed = self.shared.feed(resource);
        let (mut snapshot, later): (Snapshot, Vec<_>) = {
            // The log is read under the database's lock, so that the two agree.
            let database = self.shared.database.read();
            let snapshot = database.snapshot(resource);
            if revision >= snapshot.revision {
                return (revision == snapshot.revision).then_some(snapshot);
            }
            let log = feed.log.read();
            if revision < log.floor {
                return None;
            }
            (snapshot, log.after(revision).cloned().collect())
        };
        for event in later.iter().rev() {
            snapshot.undo(event);
        }
        snapshot.revision = revision;
        Some(snapshot)
    }

    /// A cursor over the events of a resource after `after`, usually a snapshot's revision.
    pub fn subscribe(&self, resource: &str, after: Revision) -> Result<Cursor, Compacted> {
        self.subscribe_to(resource, after, &Interest::All)
    }

    /// Like [`Memory::subscribe`], but hands out, and is woken by, only events that concern `interest`.
    pub fn subscribe_to(&self, resource: &str, after: Revision, interest: &Interest) -> Result<Cursor, Compacted> {
        let feed = self.shared.feed(resource);
        let index = feed.index(interest, after)?;
        Ok(Cursor::new(self.shared.clone(), feed, index, after))
    }
}

impl Publisher {
    /// A draft on top of what is published.
    pub fn draft(&self) -> Draft {
        Draft::new(self.shared.database.read().clone())
    }

    /// Makes a draft visible: first to reads, then to watchers. Its events must be durable by now.
    pub fn publish(&mut self, draft: Draft) -> Result<(), StaleDraft> {
        let Draft { base, next, events } = draft;
        let mut by_resource: Vec<(Arc<Feed>, Vec<Arc<Event>>)> = Vec::new();
        for event in events {
            let resource = &event.object.key.resource;
            match by_resource.iter_mut().find(|(_, events)| events[0].object.key.resource == *resource) {
                Some((_, events)) => events.push(event),
                None => by_resource.push((self.shared.feed(resource), vec![event])),
            }
        }
        let revision = next.revision;
        let mut wakes = Wakes::default();
        let replaced = {
            let mut database = self.shared.database.write();
            if database.revision != base {
                return Err(StaleDraft { base, published: database.revision });
            }
            for (feed, events) in &by_resource {
                feed.append(events, &self.shared.options, &mut wakes);
            }
            std::mem::replace(&mut *database, next)
        };
        self.shared.published.store(revision.0, Ordering::Release);
        wakes.notify();
        self.shared.advanced.notify(usize::MAX);
        drop(replaced);
        Ok(())
    }
}
