//! From decisions to requests.

use std::sync::Arc;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::PartialObjectMeta;
use minato_client::Next;
use minato_workloads::garbage::{Decision, FOREGROUND, Identity, Kind, ORPHAN, Policy, Uid, Work};

use super::Collector;
use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

type Metadata = PartialObjectMeta<DynamicObject>;

/// Times that one look may ask the API about owners before it comes back later.
const ROUNDS_MAX: usize = 3;

impl Collector {
    pub(super) async fn collect(&self, work: Work) -> Result<Next, Error> {
        match work {
            Work::Orphan(uid) => self.set_free(&uid).await?,
            Work::Look(uid) => {
                for _ in 0..ROUNDS_MAX {
                    let decision = self.change(|graph| graph.decide(&uid));
                    let Decision::Ask(identities) = decision else {
                        self.carry_out(decision).await?;
                        return Ok(Next::Done);
                    };
                    if !self.ask(&identities).await? {
                        // They exist: their watches will show them, and what hangs on them is looked at when they go.
                        return Ok(Next::Done);
                    }
                }
            }
        }
        Ok(Next::Done)
    }

    async fn carry_out(&self, decision: Decision) -> Result<(), Error> {
        match decision {
            Decision::Nothing | Decision::Ask(_) => Ok(()),
            Decision::Finish(identity) => self.remove_finalizer(&identity, FOREGROUND).await,
            Decision::DropOwners(identity, uids) => self.drop_owners(&identity, &uids).await,
            Decision::Delete { identity, resource_version, policy, unblock } => {
                if unblock {
                    self.unblock(&identity).await?;
                    return self.delete(&identity, None, policy).await;
                }
                self.delete(&identity, Some(resource_version), policy).await
            }
        }
    }

    /// Whether one of them does not exist.
    async fn ask(&self, identities: &[Identity]) -> Result<bool, Error> {
        let mut some_absent = false;
        for identity in identities {
            let found = self.get(identity).await?;
            if found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&*identity.uid)) {
                some_absent = true;
                self.change(|graph| graph.absent(identity));
            }
        }
        Ok(some_absent)
    }

    async fn get(&self, identity: &Identity) -> Result<Option<Metadata>, Error> {
        let found = self.api(identity)?.get_opt(&identity.name).await;
        found.trying(|| format!("get {}", describe(identity)))
    }

    fn api(&self, identity: &Identity) -> Result<Api<Metadata>, Error> {
        let Kind { api_version, kind } = &*identity.kind;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = self.resources.of_kind(group, kind);
        let resource =
            resource.ok_or_else(|| Error::UnknownKind { api_version: api_version.clone(), kind: kind.clone() })?;
        let client = self.client.clone();
        Ok(match resource.namespaced && !identity.namespace.is_empty() {
            true => Api::namespaced_with(client, &identity.namespace, &resource.api),
            false => Api::all_with(client, &resource.api),
        })
    }

    async fn delete(
        &self,
        identity: &Identity,
        resource_version: Option<Arc<str>>,
        policy: Policy,
    ) -> Result<(), Error> {
        let parameters = DeleteParams {
            propagation_policy: Some(match policy {
                Policy::Orphan => PropagationPolicy::Orphan,
                Policy::Foreground => PropagationPolicy::Foreground,
                Policy::Background => PropagationPolicy::Background,
            }),
            preconditions: Some(Preconditions {
                uid: Some(identity.uid.to_string()),
                resource_version: resource_version.map(|version| version.to_string()),
            }),
            ..DeleteParams::default()
        };
        match self.api(identity)?.delete(&identity.name, &parameters).await {
            Err(error) if is_not_found(&error) => Ok(()),
            deleted => deleted.map(drop).trying(|| format!("delete {}, whose owners are gone", describe(identity))),
        }
    }

    async fn drop_owners(&self, identity: &Identity, uids: &[Uid]) -> Result<(), Error> {
        self.edit(identity, |found| {
            let owners = found.metadata.owner_references.iter().flatten();
            let kept: Vec<_> = owners.filter(|owner| !uids.iter().any(|uid| **uid == *owner.uid)).collect();
            serde_json::json!({ "ownerReferences": kept })
        })
        .await
    }

    async fn unblock(&self, identity: &Identity) -> Result<(), Error> {
        self.edit(identity, |found| {
            let mut owners = found.metadata.owner_references.clone().unwrap_or_default();
            owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
            serde_json::json!({ "ownerReferences": owners })
        })
        .await
    }

    async fn remove_finalizer(&self, identity: &Identity, finalizer: &str) -> Result<(), Error> {
        self.edit(identity, |found| {
            let finalizers = found.metadata.finalizers.iter().flatten();
            let kept: Vec<_> = finalizers.filter(|found| *found != finalizer).collect();
            serde_json::json!({ "finalizers": kept })
        })
        .await
    }

    /// Patches the metadata of the object as it is now. If somebody writes in between, it is tried again with back-off;
    /// an object that is gone, or another of the same name, needs nothing.
    async fn edit(&self, identity: &Identity, patch: impl FnOnce(&Metadata) -> serde_json::Value) -> Result<(), Error> {
        let Some(found) = self.get(identity).await? else { return Ok(()) };
        if found.metadata.uid.as_deref() != Some(&*identity.uid) {
            return Ok(());
        }
        let mut metadata = patch(&found);
        metadata["resourceVersion"] = found.metadata.resource_version.clone().into();
        let patch = Patch::Merge(serde_json::json!({ "metadata": metadata }));
        match self.api(identity)?.patch(&identity.name, &PatchParams::default(), &patch).await {
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) if is_conflict(&error) => Err(Error::Overtaken { object: describe(identity) }),
            patched => {
                patched.map(drop).trying(|| format!("change the owners or finalizers of {}", describe(identity)))
            }
        }
    }

    /// Takes the owner off its dependents, then lets it go.
    async fn set_free(&self, uid: &str) -> Result<(), Error> {
        let Some((owner, dependents)) = self.graph.lock().orphans(uid) else { return Ok(()) };
        let uids = [Arc::clone(&owner.uid)];
        let requests = dependents.into_iter().map(|dependent| {
            let (collector, uids) = (self.clone(), uids.clone());
            async move { collector.drop_owners(&dependent, &uids).await }
        });
        for freed in all_at_once(requests).await? {
            freed?;
        }
        self.remove_finalizer(&owner, ORPHAN).await
    }
}

fn describe(identity: &Identity) -> String {
    match identity.namespace.is_empty() {
        true => format!("{} {}", identity.kind.kind, identity.name),
        false => format!("{} {}/{}", identity.kind.kind, identity.namespace, identity.name),
    }
}
