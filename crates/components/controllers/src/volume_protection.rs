//! Takes the finalizers off claims, volumes and attribute classes that are to go once nobody uses them (KEP-498,
//! KEP-3751): admission put them there.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Watchable};
use minato_scope::Scope;
use minato_workloads::protection::{
    CLAIM, CLASS, VOLUME, attribute_classes, claims_of, is_done_with_claims, is_in_use,
};

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};
use crate::reconciler::Reconciler;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Claim(ObjectKey),
    Volume(ObjectKey),
    Class(ObjectKey),
}

#[derive(Clone)]
struct Protection {
    client: Client,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<VolumeAttributesClass>,
    pods_by_claim: Index<Pod>,
    claims_by_class: Index<PersistentVolumeClaim>,
    volumes_by_class: Index<PersistentVolume>,
    queue: Queue<Work>,
}

pub(crate) fn start(context: &Context) {
    let pods = context.informers.of::<Pod>();
    let claims = context.informers.of::<PersistentVolumeClaim>();
    let volumes = context.informers.of::<PersistentVolume>();
    let protection = Protection {
        client: context.client.clone(),
        pods_by_claim: pods.index("claim", claims_of),
        claims_by_class: claims.index("attributes class", attribute_classes),
        volumes_by_class: volumes.index("attributes class", |volume| {
            let class = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone());
            class.into_iter().collect()
        }),
        pods,
        claims,
        volumes,
        classes: context.informers.of::<VolumeAttributesClass>(),
        queue: Queue::new("volume protection", Backoff::default()),
    };
    context.start(protection, 2);
}

impl Reconciler for Protection {
    type Key = Work;

    fn queue(&self) -> &Queue<Work> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.pods.synced(), self.claims.synced(), self.volumes.synced(), self.classes.synced());
    }

    fn listen(&self, _scope: &Scope) {
        let queue = self.queue.clone();
        self.pods.on_change(move |change| {
            for pod in change.both() {
                for claim in claims_of(pod) {
                    if let Some((namespace, name)) = claim.split_once('/') {
                        queue.add(Work::Claim(ObjectKey::new(namespace, name)));
                    }
                }
            }
        });
        let queue = self.queue.clone();
        self.claims.on_change(move |change| {
            for claim in change.both() {
                queue.add(Work::Claim(ObjectKey::of(&claim.metadata)));
                for class in attribute_classes(claim) {
                    queue.add(Work::Class(ObjectKey::cluster(&class)));
                }
            }
        });
        let queue = self.queue.clone();
        self.volumes.on_change(move |change| {
            for volume in change.both() {
                queue.add(Work::Volume(ObjectKey::of(&volume.metadata)));
                let class = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
                class.into_iter().for_each(|class| queue.add(Work::Class(ObjectKey::cluster(class))));
            }
        });
        let queue = self.queue.clone();
        self.classes.on_change(move |change| {
            change.both().for_each(|class| queue.add(Work::Class(ObjectKey::of(&class.metadata))));
        });
    }

    async fn reconcile(&self, work: &Work) -> Result<Next, Error> {
        match work {
            Work::Claim(key) => {
                let users = self.pods_by_claim.get(&key.to_string());
                if users.iter().all(|pod| is_done_with_claims(pod)) {
                    let api = Api::namespaced(self.client.clone(), &key.namespace);
                    self.release(api, &self.claims, key, CLAIM).await?;
                }
            }
            Work::Volume(key) => {
                if self.volumes.get(key).is_some_and(|volume| !is_in_use(&volume)) {
                    self.release(Api::all(self.client.clone()), &self.volumes, key, VOLUME).await?;
                }
            }
            Work::Class(key) => {
                if self.claims_by_class.is_empty(&key.name) && self.volumes_by_class.is_empty(&key.name) {
                    self.release(Api::all(self.client.clone()), &self.classes, key, CLASS).await?;
                }
            }
        }
        Ok(Next::Done)
    }
}

impl Protection {
    /// Takes `finalizer` off an object whose deletion has been asked for.
    async fn release<K: Watchable>(
        &self,
        api: Api<K>,
        informer: &Informer<K>,
        key: &ObjectKey,
        finalizer: &str,
    ) -> Result<(), Error> {
        let Some(object): Option<Arc<K>> = informer.get(key) else { return Ok(()) };
        let metadata = object.meta();
        let finalizers = metadata.finalizers.clone().unwrap_or_default();
        if metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|have| have == finalizer) {
            return Ok(());
        }
        let rest: Vec<&String> = finalizers.iter().filter(|have| *have != finalizer).collect();
        let patch = serde_json::json!({"metadata": {
            "resourceVersion": metadata.resource_version,
            "finalizers": Some(rest).filter(|rest| !rest.is_empty()),
        }});
        match api.patch_metadata(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            // Gone, or looked at again when the newer version is seen.
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(error).trying(|| format!("let go of {key}")),
        }
    }
}
