//! From watches into the graph.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod, ReplicationController, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use minato_client::{ObjectKey, Watchable};
use minato_scope::Scope;
use minato_workloads::garbage::{Kind, Observed, Uid};

use super::{Collector, DISCOVERY_INTERVAL, DISCOVERY_PAUSE, SYNC_PATIENCE, WORKERS};
use crate::Context;
use crate::discovery::Resource;

impl Collector {
    pub(super) async fn run(self, context: &Context) {
        let mut watched: HashMap<String, (ApiResource, Scope)> = HashMap::new();
        self.share::<Pod>(context, &mut watched);
        self.share::<ReplicaSet>(context, &mut watched);
        self.share::<Deployment>(context, &mut watched);
        self.share::<ReplicationController>(context, &mut watched);
        self.share::<Service>(context, &mut watched);
        self.share::<Endpoints>(context, &mut watched);
        self.share::<Namespace>(context, &mut watched);
        self.share::<Node>(context, &mut watched);
        self.share::<ServiceAccount>(context, &mut watched);

        let mut pause = Duration::from_millis(50);
        while let Err(error) = self.resources.refresh(&self.client).await {
            tracing::debug!(%error, "discovery failed; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(DISCOVERY_INTERVAL);
        }
        self.follow_resources(context, &mut watched);
        let mut unsynced = self.unsynced.subscribe();
        if tokio::time::timeout(SYNC_PATIENCE, unsynced.wait_for(|count| *count == 0)).await.is_err() {
            // One kind that cannot be listed, such as a custom one whose conversion fails, does not stop the others. Owners
            // that the graph does not know are asked for, so that nothing goes whose owner is merely unseen.
            tracing::warn!(
                missing = *self.unsynced.borrow(),
                "not all resources could be listed; collecting garbage anyway"
            );
        }
        let collector = self.clone();
        self.queue.work(&context.scope, WORKERS, move |work| {
            let collector = collector.clone();
            async move { collector.collect(work).await }
        });
        loop {
            tokio::select! {
                () = tokio::time::sleep(DISCOVERY_INTERVAL) => {}
                () = self.definitions.notified() => tokio::time::sleep(DISCOVERY_PAUSE).await,
            }
            match self.resources.refresh(&self.client).await {
                Ok(true) => self.follow_resources(context, &mut watched),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "discovery failed; trying again"),
            }
        }
    }

    /// Feeds a kind that others watch too.
    fn share<K: Watchable>(&self, context: &Context, watched: &mut HashMap<String, (ApiResource, Scope)>) {
        let api = ApiResource::erase::<K>(&());
        let kind = kind_of(&api);
        let informer = context.informers.of::<K>();
        let collector = self.clone();
        informer.on_change(move |change| match (&change.before, &change.after) {
            (before, Some(after)) => {
                let replaced = before.as_ref().filter(|before| before.meta().uid != after.meta().uid);
                if let Some(uid) = replaced.and_then(|before| before.meta().uid.clone()) {
                    collector.removed(&uid);
                }
                collector.observed(&kind, after.meta());
            }
            (Some(before), None) => collector.removed(before.meta().uid.as_deref().unwrap_or_default()),
            (None, None) => {}
        });
        watched.insert(name_of(&api), (api, context.scope.clone()));
        self.unsynced.send_modify(|count| *count += 1);
        let collector = self.clone();
        context.scope.spawn("garbage sync", {
            let scope = context.scope.clone();
            async move {
                tokio::select! {
                    () = scope.cancelled() => {}
                    () = informer.synced() => collector.unsynced.send_modify(|count| *count -= 1),
                }
            }
        });
    }

    /// Starts watches of new resources and ends those of resources that are not served any more.
    fn follow_resources(&self, context: &Context, watched: &mut HashMap<String, (ApiResource, Scope)>) {
        let all = self.resources.known();
        let served: HashMap<String, &Resource> = all
            .iter()
            .filter(|resource| is_collected(resource))
            .map(|resource| (name_of(&resource.api), resource))
            .collect();
        watched.retain(|name, (api, scope)| {
            let stays = served.contains_key(name) || scope.name() == context.scope.name();
            if !stays {
                scope.cancel();
                self.change(|graph| graph.retain(&kind_of(api), &HashSet::new()));
            }
            stays
        });
        for (name, resource) in served {
            if watched.contains_key(&name) {
                continue;
            }
            let scope = context.scope.child("garbage");
            watched.insert(name.clone(), (resource.api.clone(), scope.clone()));
            self.unsynced.send_modify(|count| *count += 1);
            let (collector, api) = (self.clone(), resource.api.clone());
            scope.clone().spawn(&format!("watch {name}"), async move {
                let mut unsynced = true;
                tokio::select! {
                    () = scope.cancelled() => {}
                    () = collector.follow(&api, &mut unsynced) => {}
                }
                if unsynced {
                    collector.unsynced.send_modify(|count| *count -= 1);
                }
            });
        }
    }

    async fn follow(&self, resource: &ApiResource, unsynced: &mut bool) {
        let kind = kind_of(resource);
        let defines = resource.group == "apiextensions.k8s.io" && resource.plural == "customresourcedefinitions";
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(self.client.clone(), resource);
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed: HashSet<Uid> = HashSet::new();
        while let Some(event) = events.next().await {
            if defines {
                self.definitions.notify_one();
            }
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.metadata.uid.as_deref().unwrap_or_default().into());
                    self.observed(&kind, &object.metadata);
                }
                Ok(watcher::Event::InitDone) => {
                    let emptied = self.change(|graph| graph.retain(&kind, &listed));
                    emptied.iter().for_each(|namespace| self.namespaces.add(ObjectKey::cluster(namespace)));
                    listed = HashSet::new();
                    if std::mem::take(unsynced) {
                        self.unsynced.send_modify(|count| *count -= 1);
                    }
                }
                Ok(watcher::Event::Apply(object)) => self.observed(&kind, &object.metadata),
                Ok(watcher::Event::Delete(object)) => self.removed(object.metadata.uid.as_deref().unwrap_or_default()),
                Err(error) => {
                    tracing::debug!(resource = %resource.plural, error = &error as &dyn std::error::Error, "watch failed; trying again");
                }
            }
        }
    }

    fn observed(&self, kind: &Arc<Kind>, metadata: &ObjectMeta) {
        self.change(|graph| graph.observe(Observed::new(kind, metadata)));
    }

    fn removed(&self, uid: &str) {
        if let Some(emptied) = self.change(|graph| graph.remove(uid)) {
            self.namespaces.add(ObjectKey::cluster(&emptied));
        }
    }
}

/// Whether objects of the resource own or are owned. Events are many, short-lived, and neither.
fn is_collected(resource: &Resource) -> bool {
    let is_event = resource.api.kind == "Event" && matches!(resource.api.group.as_str(), "" | "events.k8s.io");
    !is_event && ["list", "watch", "delete"].iter().all(|verb| resource.can(verb))
}

fn name_of(api: &ApiResource) -> String {
    format!("{}.{}", api.plural, api.group)
}

fn kind_of(api: &ApiResource) -> Arc<Kind> {
    Arc::new(Kind { api_version: api.api_version.clone(), kind: api.kind.clone() })
}
