//! The ControllerRevisions of a workload, kept as `minato_workloads::history` plans them.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use minato_client::{Index, Informer, ObjectKey};
use minato_workloads::history::{self, Change, Owner};
use minato_workloads::ownership::is_controlled_by;

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_not_found};

/// All revisions of the cluster.
#[derive(Clone)]
pub(crate) struct History {
    client: Client,
    pub(crate) revisions: Informer<ControllerRevision>,
    by_controller: Index<ControllerRevision>,
}

/// The history of one workload after it was brought up to date.
pub(crate) struct Kept {
    /// Oldest first.
    pub(crate) revisions: Vec<Arc<ControllerRevision>>,
    /// The revision with the present template.
    pub(crate) newest: Arc<ControllerRevision>,
    /// The workload's new `status.collisionCount`, if the name of a new revision was taken.
    pub(crate) collision_count: Option<i32>,
}

impl History {
    pub(crate) fn of(context: &Context) -> Self {
        let revisions = context.informers.of::<ControllerRevision>();
        Self { client: context.client.clone(), by_controller: revisions.by_controller(), revisions }
    }

    fn api(&self, namespace: &str) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes the history of `owner` hold its present template.
    pub(crate) async fn keep(&self, owner: &Owner<'_>) -> Result<Kept, Error> {
        let namespace = owner.metadata.namespace.as_deref().unwrap_or_default();
        let uid = owner.metadata.uid.as_deref().unwrap_or_default();
        let mut revisions = history::sorted(self.by_controller.get(uid));
        let newest = match history::plan(owner, &revisions) {
            Change::None => revisions.last().cloned(),
            Change::Renumber(old, number) => {
                let name = old.metadata.name.as_deref().unwrap_or_default();
                let patch = serde_json::json!({"revision": number});
                let renewed = self.api(namespace).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                let renewed = renewed.trying(|| format!("renumber controller revision {namespace}/{name}"))?;
                self.revisions.observe(renewed.clone());
                revisions.retain(|revision| revision.metadata.uid != old.metadata.uid);
                revisions.push(Arc::new(renewed));
                revisions.last().cloned()
            }
            Change::Create(wanted) => {
                let name = wanted.metadata.name.clone().unwrap_or_default();
                match self.api(namespace).create(&PostParams::default(), &wanted).await {
                    Ok(created) => {
                        self.revisions.observe(created.clone());
                        revisions.push(Arc::new(created));
                        revisions.last().cloned()
                    }
                    Err(error) if is_already_exists(&error) => {
                        return self.taken(owner, revisions, &wanted).await;
                    }
                    Err(error) => {
                        return Err(error).trying(|| format!("create controller revision {namespace}/{name}"));
                    }
                }
            }
        };
        let newest = newest.ok_or_else(|| Error::Overtaken { object: format!("history of {namespace}/{uid}") })?;
        Ok(Kept { revisions, newest, collision_count: None })
    }

    /// The name is taken: by our own revision that the informer has not seen, or by another's.
    async fn taken(
        &self,
        owner: &Owner<'_>,
        mut revisions: Vec<Arc<ControllerRevision>>,
        wanted: &ControllerRevision,
    ) -> Result<Kept, Error> {
        let namespace = owner.metadata.namespace.as_deref().unwrap_or_default();
        let name = wanted.metadata.name.as_deref().unwrap_or_default();
        let found = self.api(namespace).get(name).await;
        let found = found.trying(|| format!("get controller revision {namespace}/{name}"))?;
        let is_ours = is_controlled_by(&found.metadata, owner.metadata.uid.as_deref().unwrap_or_default());
        self.revisions.observe(found.clone());
        if is_ours && found.data == wanted.data {
            let newest = Arc::new(found);
            revisions.push(Arc::clone(&newest));
            return Ok(Kept { revisions, newest, collision_count: None });
        }
        let collision_count = Some(owner.collision_count.unwrap_or(0) + 1);
        let next = Owner { collision_count, reference: owner.reference.clone(), ..*owner };
        let Kept { revisions, newest, collision_count: again } = Box::pin(self.keep(&next)).await?;
        Ok(Kept { revisions, newest, collision_count: again.or(collision_count) })
    }

    /// Deletes revisions that nobody needs any more.
    pub(crate) async fn prune(&self, surplus: &[Arc<ControllerRevision>]) -> Result<(), Error> {
        for revision in surplus {
            let namespace = revision.metadata.namespace.as_deref().unwrap_or_default();
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            match self.api(namespace).delete(name, &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => {
                    return Err(error).trying(|| format!("delete controller revision {namespace}/{name}"));
                }
                _ => {
                    let uid = revision.metadata.uid.as_deref().unwrap_or_default();
                    self.revisions.observe_gone(&ObjectKey::of(&revision.metadata), uid);
                }
            }
        }
        Ok(())
    }
}
