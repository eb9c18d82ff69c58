//! Volumes and the claims on them: which volume will do for a claim, and on which nodes a pod's volumes can be had.

mod matching;
mod mounts;
mod search;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};

pub use matching::{
    Reach, candidates, class_of_claim, class_of_volume, is_kept_for, mismatch, modes_agree, names_class,
};
pub(crate) use mounts::Mounts;
pub(crate) use search::Storage;
pub use store::{Volumes, claim_key};

use crate::cluster::Uid;
use search::Wants;

/// On both sides: the partner was not chosen by the user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// What has to be written, and to come true, before a pod may be bound to its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claiming {
    /// Volumes that are kept for the pod's claims from now on.
    pub kept: Vec<PersistentVolume>,
    /// Claims for which volumes shall be made.
    pub selected: Vec<PersistentVolumeClaim>,
    /// The keys of all claims that have to be bound.
    pub claims: Vec<String>,
}

/// The volume, kept for the claim.
#[must_use]
pub fn keep(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let was_kept = is_kept_for(volume, claim);
    let mut kept = volume.clone();
    kept.spec.get_or_insert_default().claim_ref = Some(reference_to(claim));
    if !was_kept {
        kept.metadata.annotations.get_or_insert_default().insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    kept
}

/// The reference by which a volume names its claim.
#[must_use]
pub fn reference_to(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    }
}

impl Volumes {
    /// Decides what becomes of a pod's claims on the node that was chosen for it, and counts on it from now on.
    pub(crate) fn claim_for(
        &mut self,
        uid: &Uid,
        mounts: &Mounts,
        node: &Arc<str>,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> Claiming {
        let Ok(chosen) = Wants::read(self, mounts).and_then(|wants| wants.choose(node, labels)) else {
            return Claiming::default(); // a profile without these plugins binds whatever its claims are
        };
        let mut claiming = Claiming::default();
        for one in chosen {
            let Some(claim) = self.claim(&one.claim).cloned() else { continue };
            match one.volume.as_deref().and_then(|name| self.volume(name)) {
                Some(volume) => claiming.kept.push(keep(volume, &claim)),
                None if self.selected_node(&one.claim).is_none() => {
                    let mut selected = PersistentVolumeClaim::clone(&claim);
                    let annotations = selected.metadata.annotations.get_or_insert_default();
                    annotations.insert(store::SELECTED_NODE.to_owned(), node.to_string());
                    claiming.selected.push(selected);
                }
                None => {}
            }
            self.assume(uid, one.claim.clone(), node, one.volume);
            claiming.claims.push(one.claim);
        }
        claiming
    }
}
