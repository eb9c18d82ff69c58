//! What the API says, and what of it is new since the resolver was told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use minato_client::{Change as Changed, Informer, ObjectKey, Watchable};
use minato_scope::Scope;
use tokio::sync::Notify;

use crate::names::{Change, Key, ServiceNames, SliceNames};

/// The API's objects, always current.
pub(crate) struct Source {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    news: Arc<News>,
}

/// Which objects have changed; their state now is looked up when it is told.
#[derive(Default)]
struct News {
    objects: Mutex<BTreeSet<Object>>,
    arrived: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Namespace(String),
    Service(Key),
    Slice(Key),
}

impl News {
    fn add(&self, object: Object) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
        self.arrived.notify_one();
    }

    fn take(&self) -> BTreeSet<Object> {
        std::mem::take(&mut *self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source {
    pub(crate) fn start(client: &kube::Client, scope: &Scope) -> Self {
        fn watch<K: Watchable + kube::Resource>(
            client: &kube::Client,
            scope: &Scope,
            news: &Arc<News>,
            object: fn(&K) -> Object,
        ) -> Informer<K> {
            let informer = Informer::<K>::start(scope, Api::all(client.clone()), watcher::Config::default(), |_| {});
            let news = Arc::clone(news);
            informer.on_change(move |change: &Changed<K>| {
                change.latest().into_iter().for_each(|latest| news.add(object(latest)));
            });
            informer
        }
        let news = Arc::new(News::default());
        Self {
            namespaces: watch(client, scope, &news, |namespace| Object::Namespace(namespace.name_any())),
            services: watch(client, scope, &news, |service| Object::Service(key(service))),
            slices: watch(client, scope, &news, |slice| Object::Slice(key(slice))),
            news,
        }
    }

    pub(crate) fn services(&self) -> &Informer<Service> {
        &self.services
    }

    pub(crate) fn slices(&self) -> &Informer<EndpointSlice> {
        &self.slices
    }

    /// Everything, as soon as everything is known; what comes later is in [`Self::news`].
    pub(crate) async fn everything(&self) -> impl Iterator<Item = Change> + Send {
        self.namespaces.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
        self.news.take();
        let namespaces = self.namespaces.list().into_iter();
        let namespaces = namespaces.map(|namespace| Change::Namespace { name: namespace.name_any(), exists: true });
        let services = self.services.list().into_iter();
        let services = services.map(|service| Change::Service(key(&*service), Some(ServiceNames::of(&service))));
        let slices = self.slices.list().into_iter();
        let slices = slices.map(|slice| Change::Slice(key(&*slice), SliceNames::of(&slice)));
        namespaces.chain(services).chain(slices)
    }

    /// What has changed since this or [`Self::everything`] was asked for; waits until something has. The caller must
    /// tell it, or ask for everything again.
    pub(crate) async fn news(&self) -> Vec<Change> {
        loop {
            let objects = self.news.take();
            if !objects.is_empty() {
                return objects.into_iter().map(|object| self.now(object)).collect();
            }
            self.news.arrived.notified().await;
        }
    }

    fn now(&self, object: Object) -> Change {
        let named = |key: &Key| ObjectKey::new(&key.namespace, &key.name);
        match object {
            Object::Namespace(name) => {
                let exists = self.namespaces.get(&ObjectKey::cluster(&name)).is_some();
                Change::Namespace { name, exists }
            }
            Object::Service(key) => {
                let now = self.services.get(&named(&key));
                Change::Service(key, now.map(|service| ServiceNames::of(&service)))
            }
            Object::Slice(key) => {
                let now = self.slices.get(&named(&key));
                Change::Slice(key, now.and_then(|slice| SliceNames::of(&slice)))
            }
        }
    }
}

fn key(object: &impl kube::Resource) -> Key {
    let metadata = object.meta();
    Key::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
