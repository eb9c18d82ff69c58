//! One watch per kind, shared by everybody who wants to know.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use minato_scope::Scope;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::key::ObjectKey;
use crate::store::{Change, IndexFunction, Store};

/// A kind that can be watched: every `k8s_openapi` kind, every `CustomResource`, and their `PartialObjectMeta`.
pub trait Watchable: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

impl<K> Watchable for K where K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send>;

/// A local, always current copy of all objects of one kind; clones share it.
pub struct Informer<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    store: RwLock<Store<K>>,
    /// Held while a change is applied and told, so that every handler sees changes in order.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Watchable> Informer<K> {
    /// Watches through `api` as `config` says until the scope ends. `trim` drops what nobody reads, to save memory;
    /// managedFields are always dropped.
    #[must_use]
    pub fn start(scope: &Scope, api: Api<K>, config: watcher::Config, trim: fn(&mut K)) -> Self {
        let informer = Self {
            shared: Arc::new(Shared {
                store: RwLock::default(),
                handlers: Mutex::default(),
                synced: watch::Sender::new(false),
            }),
        };
        let following = informer.clone();
        let ending = scope.clone();
        scope.spawn(&format!("watch {}", K::plural(&())), async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = following.follow(api, config, trim) => {}
            }
        });
        informer
    }

    async fn follow(&self, api: Api<K>, config: watcher::Config, trim: fn(&mut K)) {
        let mut events = watcher(api, config).default_backoff().boxed();
        let mut listing = Vec::new();
        while let Some(event) = events.next().await {
            match event.map(|event| {
                event.modify(|object| {
                    object.meta_mut().managed_fields = None;
                    trim(object);
                })
            }) {
                Ok(watcher::Event::Init) => listing.clear(),
                Ok(watcher::Event::InitApply(object)) => listing.push(object),
                Ok(watcher::Event::InitDone) => {
                    let listing = std::mem::take(&mut listing);
                    self.update(|store| store.replace(listing));
                    self.shared.synced.send_replace(true);
                }
                Ok(watcher::Event::Apply(object)) => self.update(|store| store.watched(object)),
                Ok(watcher::Event::Delete(object)) => self.update(|store| store.watched_deletion(&object)),
                Err(error) => {
                    tracing::warn!(resource = %K::plural(&()), error = &error as &dyn std::error::Error, "watch failed; trying again");
                }
            }
        }
    }

    fn update<C: IntoIterator<Item = Change<K>>>(&self, apply: impl FnOnce(&mut Store<K>) -> C) {
        let handlers = self.shared.handlers.lock();
        let changes = apply(&mut self.shared.store.write());
        for change in changes {
            for handler in handlers.iter() {
                handler(&change);
            }
        }
    }

    /// Calls `handler` for every object there is (as new) and then for every change, in order, one at a time. It must
    /// be quick, and must not write to this informer.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + 'static) {
        let mut handlers = self.shared.handlers.lock();
        let existing: Vec<Arc<K>> = self.shared.store.read().objects().cloned().collect();
        for object in existing {
            handler(&Change { before: None, after: Some(object) });
        }
        handlers.push(Box::new(handler));
    }

    /// The object of that key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.shared.store.read().get(key).cloned()
    }

    /// Every object, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.shared.store.read().objects().cloned().collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.store.read().objects().len()
    }

    /// An index that lists each object under the values that `values_of` gives. Indexes of one name are shared, so
    /// the same name must mean the same function.
    #[must_use]
    pub fn index(&self, name: &'static str, values_of: fn(&K) -> Vec<String>) -> Index<K> {
        let values_of: IndexFunction<K> = values_of;
        let position = self.shared.store.write().index(name, values_of);
        Index { informer: self.clone(), position }
    }

    /// Objects by namespace.
    #[must_use]
    pub fn by_namespace(&self) -> Index<K> {
        self.index("namespace", |object| object.meta().namespace.clone().into_iter().collect())
    }

    /// Objects by the uid of their controller (the owner reference with `controller: true`).
    #[must_use]
    pub fn by_controller(&self) -> Index<K> {
        self.index("controller", |object| {
            let owners = object.meta().owner_references.iter().flatten();
            owners.filter(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()).collect()
        })
    }

    /// Objects by label, under `namespace/key=value`.
    #[must_use]
    pub fn by_label(&self) -> Index<K> {
        self.index("label", |object| {
            let namespace = object.meta().namespace.as_deref().unwrap_or_default();
            let labels = object.meta().labels.iter().flatten();
            labels.map(|(key, value)| format!("{namespace}/{key}={value}")).collect()
        })
    }

    /// Tells the store what the API answered to an own write, before the watch does: whoever reads the store after
    /// this reads the write. Handlers are called as for a watched change.
    pub fn observe(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        self.update(|store| store.written(object));
    }

    /// Tells the store that the API said the object of that key and uid is gone.
    pub fn observe_gone(&self, key: &ObjectKey, uid: &str) {
        self.update(|store| store.gone(key, uid));
    }

    /// Whether the first listing is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Completes when the first listing is in the store. Waits for ever while the API cannot be reached: select
    /// against the scope's end.
    pub async fn synced(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.shared.synced.subscribe().wait_for(|synced| *synced).await;
    }
}

/// Objects of an informer by a derived value.
pub struct Index<K> {
    informer: Informer<K>,
    position: usize,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { informer: self.informer.clone(), position: self.position }
    }
}

impl<K: Watchable> Index<K> {
    /// The objects listed under `value`, in no order.
    #[must_use]
    pub fn get(&self, value: &str) -> Vec<Arc<K>> {
        self.informer.shared.store.read().indexed(self.position, value).cloned().collect()
    }

    /// Whether nothing is listed under `value`.
    #[must_use]
    pub fn is_empty(&self, value: &str) -> bool {
        self.informer.shared.store.read().indexed(self.position, value).next().is_none()
    }
}

/// The informers of one component: one per kind, started when first asked for, ended with the scope.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    scope: Scope,
    started: Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>>,
}

impl Informers {
    /// No watch is started yet.
    #[must_use]
    pub fn new(client: Client, scope: Scope) -> Self {
        Self { client, scope, started: Arc::default() }
    }

    /// The client that the watches use.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The informer of all objects of a kind.
    #[must_use]
    pub fn of<K: Watchable>(&self) -> Informer<K> {
        let mut started = self.started.lock();
        if let Some(informer) = started.get(&TypeId::of::<K>()).and_then(|any| any.downcast_ref::<Informer<K>>()) {
            return informer.clone();
        }
        let api = Api::all(self.client.clone());
        let informer = Informer::<K>::start(&self.scope, api, watcher::Config::default(), |_| {});
        started.insert(TypeId::of::<K>(), Box::new(informer.clone()));
        informer
    }
}
