//! The event log of one resource, and the indexes into it that watchers with an [`Interest`] share.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::{Compacted, Event, Options, Revision};

/// What a watcher cares about. It is told of at least those events, and woken by no others.
///
/// An event concerns an interest when the object matches it before or after the change, so a watcher sees an object
/// come and go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Every event of the resource.
    All,
    /// The objects of a namespace.
    Namespace(Arc<str>),
    /// One object.
    Object {
        /// Its namespace; empty for objects of the cluster.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// The objects with this value in a selectable field.
    Field {
        /// The field, for example `spec.nodeName`.
        path: Arc<str>,
        /// Its value.
        value: Arc<str>,
    },
}

impl Interest {
    fn concerns(&self, event: &Event) -> bool {
        let key = &event.object.key;
        match self {
            Self::All => true,
            Self::Namespace(namespace) => key.namespace == *namespace,
            Self::Object { namespace, name } => key.name == *name && key.namespace == *namespace,
            Self::Field { path, value } => {
                let previous = event.previous.iter().filter_map(|object| object.attributes.field(path));
                event.object.attributes.field(path).into_iter().chain(previous).any(|found| found == &**value)
            }
        }
    }
}

/// The most events an index keeps. A watcher that misses more of its own must list again.
const INDEX_EVENTS_MAX: usize = 4096;

/// The events of one resource, oldest first, bounded by count and bytes.
pub(crate) struct Log {
    pub(crate) events: VecDeque<Arc<Event>>,
    /// Every event after this one is here.
    pub(crate) floor: Revision,
    bytes: usize,
}

impl Log {
    fn push(&mut self, event: Arc<Event>, options: &Options) {
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > options.log_events_max || self.bytes > options.log_bytes_max {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.weight();
            self.floor = oldest.revision;
        }
    }

    pub(crate) fn after(&self, revision: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let start = self.events.partition_point(|event| event.revision <= revision);
        self.events.range(start..)
    }
}

/// The events that concern one interest: references into the log, which alone keeps them alive.
pub(crate) struct Index {
    interest: Interest,
    pub(crate) entries: RwLock<Entries>,
    pub(crate) wake: event_listener::Event,
}

pub(crate) struct Entries {
    pub(crate) events: VecDeque<(Revision, Weak<Event>)>,
    pub(crate) floor: Revision,
}

impl Index {
    fn push(&self, event: &Arc<Event>) {
        let mut entries = self.entries.write();
        entries.events.push_back((event.revision, Arc::downgrade(event)));
        if entries.events.len() > INDEX_EVENTS_MAX
            && let Some((revision, _)) = entries.events.pop_front()
        {
            entries.floor = revision;
        }
    }
}

#[derive(Default)]
struct Indexes {
    by_namespace: HashMap<Arc<str>, Arc<Index>>,
    by_object: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Index>>>,
    by_field: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Index>>>,
}

impl Indexes {
    /// Calls `each` for every index that `event` concerns, perhaps more than once.
    fn concerned(&self, event: &Event, mut each: impl FnMut(&Arc<Index>)) {
        let key = &event.object.key;
        let object = self.by_object.get(&key.name).and_then(|names| names.get(&key.namespace));
        self.by_namespace.get(&key.namespace).into_iter().chain(object).for_each(&mut each);
        for (path, values) in &self.by_field {
            let new = event.object.attributes.field(path);
            let old = event.previous.as_ref().and_then(|object| object.attributes.field(path));
            for value in new.into_iter().chain(old.filter(|_| old != new)) {
                values.get(value).into_iter().for_each(&mut each);
            }
        }
    }

    fn find(&self, interest: &Interest) -> Option<&Arc<Index>> {
        match interest {
            Interest::All => None,
            Interest::Namespace(namespace) => self.by_namespace.get(namespace),
            Interest::Object { namespace, name } => self.by_object.get(name)?.get(namespace),
            Interest::Field { path, value } => self.by_field.get(path)?.get(value),
        }
    }

    fn insert(&mut self, index: Arc<Index>) {
        match index.interest.clone() {
            Interest::All => None,
            Interest::Namespace(namespace) => self.by_namespace.insert(namespace, index),
            Interest::Object { namespace, name } => self.by_object.entry(name).or_default().insert(namespace, index),
            Interest::Field { path, value } => self.by_field.entry(path).or_default().insert(value, index),
        };
    }

    fn remove(&mut self, interest: &Interest) {
        match interest {
            Interest::All => {}
            Interest::Namespace(namespace) => {
                self.by_namespace.remove(namespace);
            }
            Interest::Object { namespace, name } => remove_nested(&mut self.by_object, name, namespace),
            Interest::Field { path, value } => remove_nested(&mut self.by_field, path, value),
        }
    }
}

fn remove_nested(outer: &mut HashMap<Arc<str>, HashMap<Arc<str>, Arc<Index>>>, first: &Arc<str>, second: &Arc<str>) {
    if let Entry::Occupied(mut entry) = outer.entry(first.clone()) {
        entry.get_mut().remove(second);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

/// Everything watchers of one resource need.
pub(crate) struct Feed {
    pub(crate) log: RwLock<Log>,
    pub(crate) wake: event_listener::Event,
    /// Cursors that want every event, and so have no index.
    pub(crate) watchers: AtomicUsize,
    indexes: Mutex<Indexes>,
}

/// Who must be woken once a batch is published.
#[derive(Default)]
pub(crate) struct Wakes {
    feeds: Vec<Arc<Feed>>,
    indexes: Vec<Arc<Index>>,
}

impl Wakes {
    pub(crate) fn notify(self) {
        for feed in self.feeds {
            feed.wake.notify(usize::MAX);
        }
        for index in self.indexes {
            index.wake.notify(usize::MAX);
        }
    }
}

impl Feed {
    pub(crate) fn new(floor: Revision) -> Self {
        Self {
            log: RwLock::new(Log { events: VecDeque::new(), floor, bytes: 0 }),
            wake: event_listener::Event::new(),
            watchers: AtomicUsize::new(0),
            indexes: Mutex::default(),
        }
    }

    /// Appends events of this resource; `wakes` learns who wants to know.
    pub(crate) fn append(self: &Arc<Self>, events: &[Arc<Event>], options: &Options, wakes: &mut Wakes) {
        // Held throughout, so that `index` below misses no event between reading the log and being registered.
        let indexes = self.indexes.lock();
        {
            let mut log = self.log.write();
            for event in events {
                log.push(event.clone(), options);
            }
        }
        for event in events {
            indexes.concerned(event, |index| {
                index.push(event);
                if !wakes.indexes.last().is_some_and(|last| Arc::ptr_eq(last, index)) {
                    wakes.indexes.push(index.clone());
                }
            });
        }
        wakes.feeds.push(self.clone());
    }

    /// The index of `interest`, complete from `after` on. `None` for [`Interest::All`], which needs none.
    pub(crate) fn index(&self, interest: &Interest, after: Revision) -> Result<Option<Arc<Index>>, Compacted> {
        let mut indexes = self.indexes.lock();
        let log = self.log.read();
        if let Some(index) = indexes.find(interest)
            && index.entries.read().floor <= after
        {
            return Ok(Some(index.clone()));
        }
        if after < log.floor {
            return Err(Compacted { oldest: log.floor });
        }
        if *interest == Interest::All {
            return Ok(None);
        }
        let concerned = log.after(after).filter(|event| interest.concerns(event));
        let events: VecDeque<_> = concerned.map(|event| (event.revision, Arc::downgrade(event))).collect();
        let index = match indexes.find(interest) {
            Some(index) => {
                *index.entries.write() = Entries { events, floor: after };
                index.clone()
            }
            None => {
                let entries = RwLock::new(Entries { events, floor: after });
                let index = Arc::new(Index { interest: interest.clone(), entries, wake: event_listener::Event::new() });
                indexes.insert(index.clone());
                index
            }
        };
        Ok(Some(index))
    }

    /// Forgets the index when the caller is the last to use it.
    pub(crate) fn release(&self, index: Arc<Index>) {
        const REGISTRY_AND_CALLER: usize = 2;
        let mut indexes = self.indexes.lock();
        let registered = indexes.find(&index.interest).is_some_and(|found| Arc::ptr_eq(found, &index));
        if registered && Arc::strong_count(&index) <= REGISTRY_AND_CALLER {
            indexes.remove(&index.interest);
        }
    }
}
