//! ConfigMaps and Secrets that pods refer to: one watch for each such object, shared by all pods that do.
//!
//! A node may read only the objects of its own pods, so there is no watch over a whole kind.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Informer, ObjectKey, Watchable};
use minato_podlife::env::References;
use minato_podlife::payload::ReferencedNames;
use minato_scope::Scope;
use parking_lot::Mutex;

use crate::inbox::Inbox;

/// How long a pod waits for the first answer about an object before it takes it as missing for now.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// All watches of this node.
pub(crate) struct ObjectWatches {
    client: Client,
    scope: Scope,
    config_maps: Watches<ConfigMap>,
    secrets: Watches<Secret>,
}

type Watches<K> = Mutex<HashMap<ObjectKey, Weak<Watched<K>>>>;

/// One object's watch; ends when the last pod lets go of it.
struct Watched<K> {
    key: ObjectKey,
    informer: Informer<K>,
    listeners: Arc<Mutex<Vec<Weak<Inbox>>>>,
    scope: Scope,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// The objects one pod refers to.
pub(crate) struct Subscription {
    config_maps: Vec<Arc<Watched<ConfigMap>>>,
    secrets: Vec<Arc<Watched<Secret>>>,
}

impl ObjectWatches {
    pub(crate) fn new(client: Client, scope: Scope) -> Self {
        Self { client, scope, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    /// Watches the named objects for as long as the subscription lives; changes wake the inbox.
    pub(crate) fn subscribe(&self, namespace: &str, names: &ReferencedNames, inbox: &Arc<Inbox>) -> Subscription {
        let config_maps = names.config_maps.iter();
        let secrets = names.secrets.iter();
        Subscription {
            config_maps: config_maps.map(|name| self.watch(&self.config_maps, namespace, name, inbox)).collect(),
            secrets: secrets.map(|name| self.watch(&self.secrets, namespace, name, inbox)).collect(),
        }
    }

    fn watch<K>(&self, watches: &Watches<K>, namespace: &str, name: &str, inbox: &Arc<Inbox>) -> Arc<Watched<K>>
    where
        K: Watchable + kube::Resource<Scope = NamespaceResourceScope>,
    {
        let key = ObjectKey::new(namespace, name);
        let mut watches = watches.lock();
        watches.retain(|_, watched| watched.strong_count() > 0);
        if let Some(watched) = watches.get(&key).and_then(Weak::upgrade) {
            let mut listeners = watched.listeners.lock();
            listeners.retain(|listener| listener.strong_count() > 0);
            listeners.push(Arc::downgrade(inbox));
            drop(listeners);
            return watched;
        }
        let scope = self.scope.child("references");
        let api = Api::namespaced(self.client.clone(), namespace);
        let selected = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let informer = Informer::start(&scope, api, selected, |_| {});
        let listeners = Arc::new(Mutex::new(vec![Arc::downgrade(inbox)]));
        let told = Arc::clone(&listeners);
        informer.on_change(move |_| {
            for inbox in told.lock().iter().filter_map(Weak::upgrade) {
                inbox.tell(|pending| pending.references_changed = true);
            }
        });
        let watched = Arc::new(Watched { key: key.clone(), informer, listeners, scope });
        watches.insert(key, Arc::downgrade(&watched));
        watched
    }
}

impl Subscription {
    /// The objects as they are now; waits for the first answer of new watches.
    pub(crate) async fn current(&self) -> References {
        let answers = async {
            for watched in &self.config_maps {
                watched.informer.synced().await;
            }
            for watched in &self.secrets {
                watched.informer.synced().await;
            }
        };
        if tokio::time::timeout(FIRST_ANSWER_TIMEOUT, answers).await.is_err() {
            tracing::warn!("no answer about the ConfigMaps and Secrets of a pod yet");
        }
        fn all<K: Watchable>(list: &[Arc<Watched<K>>]) -> impl Iterator<Item = (String, K)> {
            list.iter().filter_map(|watched| {
                let object = watched.informer.get(&watched.key)?;
                Some((watched.key.name.to_string(), K::clone(&object)))
            })
        }
        References { config_maps: all(&self.config_maps).collect(), secrets: all(&self.secrets).collect() }
    }
}
