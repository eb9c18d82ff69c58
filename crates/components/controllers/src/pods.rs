//! Pods as the controllers of workloads handle them: found, taken and let go, made and ended.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use minato_client::{Change, Index, Informer, ObjectKey, Queue, Watchable};
use minato_select::LabelSelector;
use minato_workloads::ownership::{Claim, claim, controller_of, controller_reference};
use minato_workloads::pod::is_active;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

/// A kind whose objects control pods by a selector.
pub(crate) trait Controlling: Watchable + Resource<Scope = NamespaceResourceScope> {
    /// The finalizer that pods carry as long as they are an object's. Whoever has one also takes pods that have ended.
    const FINALIZER: Option<&'static str> = None;

    /// Which pods of its namespace an object asks for; none where it cannot be told.
    fn selector(&self) -> Option<LabelSelector>;
}

/// All pods of the cluster, with the requests that controllers make; every answer is seen by the informer at once.
#[derive(Clone)]
pub(crate) struct Pods {
    client: Client,
    pub(crate) informer: Informer<Pod>,
    by_controller: Index<Pod>,
    orphans: Index<Pod>,
}

/// The reference by which `owner` controls what it makes.
pub(crate) fn reference<K: Controlling>(owner: &ObjectMeta) -> OwnerReference {
    controller_reference(&K::api_version(&()), &K::kind(&()), owner)
}

impl Pods {
    pub(crate) fn of(context: &Context) -> Self {
        let informer = context.informers.of::<Pod>();
        Self {
            client: context.client.clone(),
            by_controller: informer.by_controller(),
            orphans: informer.index("orphan", |pod| match controller_of(&pod.metadata) {
                Some(_) => Vec::new(),
                None => pod.metadata.namespace.clone().into_iter().collect(),
            }),
            informer,
        }
    }

    fn api(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Pods under the controller of that uid.
    pub(crate) fn controlled_by(&self, uid: &str) -> Vec<Arc<Pod>> {
        self.by_controller.get(uid)
    }

    /// Queues the owner of each pod that changes, and each object of `owners` whose selector a new orphan matches.
    pub(crate) fn wake<K: Controlling>(&self, queue: &Queue<ObjectKey>, owners: &Informer<K>) {
        let queue = queue.clone();
        let by_namespace = owners.by_namespace();
        self.informer.on_change(move |change: &Change<Pod>| {
            for pod in change.both() {
                if let Some(owner) = controller_of(&pod.metadata).filter(|owner| owner.kind == K::kind(&())) {
                    queue.add(ObjectKey::new(pod.metadata.namespace.as_deref().unwrap_or_default(), &owner.name));
                }
            }
            let orphan = change.after.as_ref().filter(|pod| controller_of(&pod.metadata).is_none());
            let Some((orphan, labels)) = orphan.and_then(|pod| Some((pod, pod.metadata.labels.as_ref()?))) else {
                return;
            };
            for owner in by_namespace.get(orphan.metadata.namespace.as_deref().unwrap_or_default()) {
                if owner.selector().is_some_and(|selector| selector.matches_labels(labels)) {
                    queue.add(ObjectKey::of(owner.meta()));
                }
            }
        });
    }

    /// The pods of `owner`, after taking orphans that match and letting go those that do not match any more.
    pub(crate) async fn claim<K: Controlling>(
        &self,
        owner: &ObjectMeta,
        selector: &LabelSelector,
    ) -> Result<Vec<Arc<Pod>>, Error> {
        let uid = owner.uid.as_deref().unwrap_or_default();
        let namespace = owner.namespace.as_deref().unwrap_or_default();
        let mut pods = Vec::new();
        for pod in self.by_controller.get(uid).into_iter().chain(self.orphans.get(namespace)) {
            match claim(owner, selector, &pod.metadata) {
                Claim::Own => pods.push(pod),
                Claim::Leave => {}
                Claim::Adopt if !is_active(&pod) && K::FINALIZER.is_none() => {}
                Claim::Adopt => pods.extend(self.adopt::<K>(owner, &pod).await?.map(Arc::new)),
                Claim::Release => self.release::<K>(uid, &pod).await?,
            }
        }
        Ok(pods)
    }

    async fn adopt<K: Controlling>(&self, owner: &ObjectMeta, pod: &Pod) -> Result<Option<Pod>, Error> {
        // An owner that is being deleted, or was replaced by another of its name, must not take anything.
        let (namespace, name) =
            (owner.namespace.as_deref().unwrap_or_default(), owner.name.as_deref().unwrap_or_default());
        let owners: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let fresh = owners.get_opt(name).await.trying(|| format!("get {} {namespace}/{name}", K::kind(&())))?;
        let may = |fresh: &K| fresh.meta().uid == owner.uid && fresh.meta().deletion_timestamp.is_none();
        if !fresh.as_ref().is_some_and(may) {
            return Ok(None);
        }
        let mut patch = serde_json::json!({ "ownerReferences": [reference::<K>(owner)] });
        if let Some(finalizer) = K::FINALIZER {
            patch["finalizers"] = serde_json::json!([finalizer]);
        }
        self.patch_metadata(pod, patch).await
    }

    async fn release<K: Controlling>(&self, uid: &str, pod: &Pod) -> Result<(), Error> {
        let mut patch = serde_json::json!({ "ownerReferences": [{ "$patch": "delete", "uid": uid }] });
        if let Some(finalizer) = K::FINALIZER {
            patch["$deleteFromPrimitiveList/finalizers"] = serde_json::json!([finalizer]);
        }
        self.patch_metadata(pod, patch).await.map(drop)
    }

    /// Takes a finalizer from a pod; one that is gone, or another of the name, needs nothing.
    pub(crate) async fn remove_finalizer(&self, pod: &Pod, finalizer: &str) -> Result<(), kube::Error> {
        let patch = serde_json::json!({ "metadata": {
            "uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [finalizer],
        }});
        match self.patch(&pod.metadata, &patch).await {
            Err(error) if is_conflict(&error) => self.gone(&pod.metadata),
            answer => return answer.map(drop),
        }
        Ok(())
    }

    async fn patch_metadata(&self, pod: &Pod, mut patch: serde_json::Value) -> Result<Option<Pod>, Error> {
        patch["uid"] = serde_json::json!(pod.metadata.uid);
        let patch = serde_json::json!({ "metadata": patch });
        self.patch(&pod.metadata, &patch).await.trying(|| format!("change the owner of pod {}", name_of(pod)))
    }

    /// Changes a pod by a strategic merge patch; none if it is gone.
    pub(crate) async fn patch(&self, pod: &ObjectMeta, patch: &serde_json::Value) -> Result<Option<Pod>, kube::Error> {
        let api = self.api(pod.namespace.as_deref().unwrap_or_default());
        let name = pod.name.as_deref().unwrap_or_default();
        match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(pod) => {
                self.informer.observe(pod.clone());
                Ok(Some(pod))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a pod; returns its name.
    pub(crate) async fn create(&self, pod: &Pod) -> Result<String, kube::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let created = self.api(namespace).create(&PostParams::default(), pod).await?;
        let name = created.metadata.name.clone().unwrap_or_default();
        self.informer.observe(created);
        Ok(name)
    }

    /// Ends a pod, this very one; one that is gone already is no error.
    pub(crate) async fn delete(&self, pod: &Pod) -> Result<(), kube::Error> {
        let uid = pod.metadata.uid.clone();
        let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        match self.api(namespace).delete(name_of(pod), &same).await {
            Ok(answer) => match answer.left() {
                Some(terminating) if terminating.metadata.deletion_timestamp.is_some() => {
                    self.informer.observe(terminating);
                }
                _ => self.gone(&pod.metadata),
            },
            Err(error) if is_not_found(&error) => self.gone(&pod.metadata),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn gone(&self, metadata: &ObjectMeta) {
        self.informer.observe_gone(&ObjectKey::of(metadata), metadata.uid.as_deref().unwrap_or_default());
    }
}

/// The pod's name.
pub(crate) fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
