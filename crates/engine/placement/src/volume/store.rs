//! The claims, volumes and classes of the cluster, and what is assumed of them while it is being written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};

use super::matching::{candidates, class_of_claim, class_of_volume};
use crate::cluster::Uid;

/// On claims: the binding was completed once.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On claims: the node for which a volume shall be made.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What the scheduler knows of storage.
#[derive(Debug, Default)]
pub struct Volumes {
    volumes: HashMap<String, Arc<PersistentVolume>>,
    /// Volumes without a claim, by class.
    free: HashMap<String, BTreeSet<String>>,
    /// Volumes that are kept for a claim.
    kept: HashMap<String, BTreeSet<String>>,
    claims: HashMap<String, Arc<PersistentVolumeClaim>>,
    classes: HashMap<String, Arc<StorageClass>>,
    /// How many volumes of each driver a node takes.
    limits: HashMap<String, BTreeMap<String, i64>>,
    assumed: HashMap<String, Assumed>,
    /// How many placed pods use a claim.
    users: HashMap<String, u32>,
}

/// What has been decided about a claim and is being written.
#[derive(Clone, Debug)]
pub(super) struct Assumed {
    by: Uid,
    pub(super) node: Arc<str>,
    /// The volume that it gets; one will be made if there is none.
    pub(super) volume: Option<String>,
}

/// How a claim is found.
pub(super) enum Standing {
    /// Bound to that volume.
    Bound(String),
    /// To be bound when its pod has a node.
    Delayed,
    /// To be bound whatever becomes of its pods.
    Immediate,
}

/// `namespace/name` of a claim.
#[must_use]
pub fn claim_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn key_of(claim: &PersistentVolumeClaim) -> Option<String> {
    Some(claim_key(claim.metadata.namespace.as_deref()?, claim.metadata.name.as_deref()?))
}

fn kept_for(volume: &PersistentVolume) -> Option<String> {
    let kept = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(claim_key(kept.namespace.as_deref()?, kept.name.as_deref()?))
}

impl Volumes {
    /// Learns of a volume.
    pub fn set_volume(&mut self, volume: Arc<PersistentVolume>) {
        let Some(name) = volume.metadata.name.clone() else { return };
        self.remove_volume(&name);
        match kept_for(&volume) {
            Some(claim) => self.kept.entry(claim).or_default().insert(name.clone()),
            None => self.free.entry(class_of_volume(&volume).to_owned()).or_default().insert(name.clone()),
        };
        self.volumes.insert(name, volume);
    }

    /// Learns that a volume is gone.
    pub fn remove_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        let (map, key) = match kept_for(&volume) {
            Some(claim) => (&mut self.kept, claim),
            None => (&mut self.free, class_of_volume(&volume).to_owned()),
        };
        if let Some(names) = map.get_mut(&key) {
            names.remove(name);
            if names.is_empty() {
                map.remove(&key);
            }
        }
    }

    /// Learns of a claim.
    pub fn set_claim(&mut self, claim: Arc<PersistentVolumeClaim>) {
        if let Some(key) = key_of(&claim) {
            self.claims.insert(key, claim);
        }
    }

    /// Learns that a claim is gone.
    pub fn remove_claim(&mut self, key: &str) {
        self.claims.remove(key);
        self.assumed.remove(key);
    }

    /// Learns of a class, or that it is gone.
    pub fn set_class(&mut self, name: &str, class: Option<Arc<StorageClass>>) {
        match class {
            Some(class) => drop(self.classes.insert(name.to_owned(), class)),
            None => drop(self.classes.remove(name)),
        }
    }

    /// Learns how many volumes a node takes of each driver.
    pub fn set_limits(&mut self, node: &str, drivers: Option<&CSINode>) {
        let Some(drivers) = drivers else { return drop(self.limits.remove(node)) };
        let limits = drivers
            .spec
            .drivers
            .iter()
            .filter_map(|driver| Some((driver.name.clone(), i64::from(driver.allocatable.as_ref()?.count?))));
        self.limits.insert(node.to_owned(), limits.collect());
    }

    /// The names of all volumes.
    pub fn volume_names(&self) -> impl Iterator<Item = &str> {
        self.volumes.keys().map(String::as_str)
    }

    /// The keys of all claims.
    pub fn claim_keys(&self) -> impl Iterator<Item = &str> {
        self.claims.keys().map(String::as_str)
    }

    /// The names of all classes.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// The names of all nodes whose limits are known.
    pub fn limited_nodes(&self) -> impl Iterator<Item = &str> {
        self.limits.keys().map(String::as_str)
    }

    /// A claim by its key.
    #[must_use]
    pub fn claim(&self, key: &str) -> Option<&Arc<PersistentVolumeClaim>> {
        self.claims.get(key)
    }

    /// Whether a claim is bound for good.
    #[must_use]
    pub fn is_bound(&self, key: &str) -> bool {
        self.claims.get(key).is_some_and(|claim| matches!(self.standing(claim), Standing::Bound(_)))
    }

    /// The node that a claim's volume is being made for, as far as the API says.
    #[must_use]
    pub fn selected_node(&self, key: &str) -> Option<&str> {
        self.claims.get(key)?.metadata.annotations.as_ref()?.get(SELECTED_NODE).map(String::as_str)
    }

    /// A volume by its name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Arc<PersistentVolume>> {
        self.volumes.get(name)
    }

    pub(super) fn class_of(&self, claim: &PersistentVolumeClaim) -> Option<&StorageClass> {
        self.classes.get(class_of_claim(claim)).map(AsRef::as_ref)
    }

    pub(super) fn limits_of(&self, node: &str) -> Option<&BTreeMap<String, i64>> {
        self.limits.get(node)
    }

    pub(super) fn has_limits(&self) -> bool {
        self.limits.values().any(|limits| !limits.is_empty())
    }

    pub(super) fn assumed(&self, key: &str) -> Option<&Assumed> {
        self.assumed.get(key)
    }

    pub(super) fn users_of(&self, key: &str) -> u32 {
        self.users.get(key).copied().unwrap_or_default()
    }

    pub(super) fn standing(&self, claim: &PersistentVolumeClaim) -> Standing {
        let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
        let is_complete = claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BIND_COMPLETED));
        if !named.is_empty() && is_complete {
            return Standing::Bound(named);
        }
        let mode = self.class_of(claim).and_then(|class| class.volume_binding_mode.as_deref());
        match named.is_empty() && mode == Some("WaitForFirstConsumer") {
            true => Standing::Delayed,
            false => Standing::Immediate,
        }
    }

    /// The volumes that would do for a claim and that nobody else is about to get, the smallest first.
    pub(super) fn candidates(&self, key: &str, claim: &PersistentVolumeClaim) -> Vec<&Arc<PersistentVolume>> {
        let taken: BTreeSet<&str> = self
            .assumed
            .iter()
            .filter(|(other, _)| *other != key)
            .filter_map(|(_, assumed)| assumed.volume.as_deref())
            .collect();
        let kept = self.kept.get(key).into_iter().flatten();
        let free = self.free.get(class_of_claim(claim)).into_iter().flatten();
        let all = kept.chain(free).filter(|name| !taken.contains(name.as_str()));
        candidates(claim, all.filter_map(|name| self.volumes.get(name)))
    }

    /// Counts on it that a claim will get that volume, or one that is made for the node.
    pub(super) fn assume(&mut self, by: &Uid, key: String, node: &Arc<str>, volume: Option<String>) {
        self.assumed.insert(key, Assumed { by: by.clone(), node: Arc::clone(node), volume });
    }

    /// What was decided for a pod has been written, or will not be.
    pub fn forget_assumed(&mut self, by: &Uid) {
        if !self.assumed.is_empty() {
            self.assumed.retain(|_, assumed| assumed.by != *by);
        }
    }

    pub(crate) fn count_users<'a>(&mut self, claims: impl Iterator<Item = &'a str>, comes: bool) {
        for claim in claims {
            match (self.users.get_mut(claim), comes) {
                (Some(count), true) => *count += 1,
                (None, true) => drop(self.users.insert(claim.to_owned(), 1)),
                (Some(1), false) => drop(self.users.remove(claim)),
                (Some(count), false) => *count -= 1,
                (None, false) => {}
            }
        }
    }
}
