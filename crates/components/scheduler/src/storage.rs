//! Volumes of pods: what is learnt of them, and pods that have a node and wait for their claims to be bound.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use minato_client::EventKind;
use minato_placement::volume::{Claiming, claim_key};
use minato_placement::{Change, Uid};
use tokio::time::Instant;

use crate::bind::{PodName, RequestError, claim};
use crate::placing::{Done, Placing};
use crate::watch::{Listed, StorageUpdate};

/// A pod that has a node and waits until its claims are bound.
pub(crate) struct Awaiting {
    pod: PodName,
    node: Arc<str>,
    claims: Vec<String>,
    /// Those of them for which volumes are being made.
    selected: Vec<String>,
    deadline: Instant,
}

/// All of them.
pub(crate) type AwaitingPods = HashMap<Uid, Awaiting>;

/// What was written for a pod's claims.
pub(crate) struct Claimed {
    pub(crate) volumes: Vec<PersistentVolume>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
}

fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

pub(crate) fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn key_of(claim: &PersistentVolumeClaim) -> String {
    claim_key(claim.metadata.namespace.as_deref().unwrap_or_default(), name_of(&claim.metadata))
}

fn others<'a>(known: impl Iterator<Item = &'a str>, listed: &HashSet<String>) -> Vec<String> {
    known.filter(|name| !listed.contains(*name)).map(str::to_owned).collect()
}

impl Placing {
    pub(crate) fn learn_storage(&mut self, update: StorageUpdate) {
        match update {
            StorageUpdate::Claims(Listed::Applied(claim)) => self.learn_claim(*claim),
            StorageUpdate::Claims(Listed::Gone(key)) => self.cluster.volumes_mut().remove_claim(&key),
            StorageUpdate::Claims(Listed::All(claims)) => {
                let listed = claims.iter().map(|claim| key_of(claim)).collect();
                for key in others(self.cluster.volumes().claim_keys(), &listed) {
                    self.cluster.volumes_mut().remove_claim(&key);
                }
                claims.into_iter().for_each(|claim| self.learn_claim(*claim));
                self.listed.claims = true;
            }
            StorageUpdate::Volumes(Listed::Applied(volume)) => self.learn_volume(*volume),
            StorageUpdate::Volumes(Listed::Gone(name)) => self.cluster.volumes_mut().remove_volume(&name),
            StorageUpdate::Volumes(Listed::All(volumes)) => {
                let listed = volumes.iter().map(|volume| name_of(&volume.metadata).to_owned()).collect();
                for name in others(self.cluster.volumes().volume_names(), &listed) {
                    self.cluster.volumes_mut().remove_volume(&name);
                }
                volumes.into_iter().for_each(|volume| self.learn_volume(*volume));
                self.listed.volumes = true;
            }
            StorageUpdate::Classes(Listed::Applied(class)) => self.learn_class(*class),
            StorageUpdate::Classes(Listed::Gone(name)) => self.cluster.volumes_mut().set_class(&name, None),
            StorageUpdate::Classes(Listed::All(classes)) => {
                let listed = classes.iter().map(|class| name_of(&class.metadata).to_owned()).collect();
                for name in others(self.cluster.volumes().class_names(), &listed) {
                    self.cluster.volumes_mut().set_class(&name, None);
                }
                classes.into_iter().for_each(|class| self.learn_class(*class));
                self.listed.classes = true;
            }
            StorageUpdate::Limits(Listed::Applied(drivers)) => self.learn_limits(&drivers),
            StorageUpdate::Limits(Listed::Gone(name)) => self.cluster.volumes_mut().set_limits(&name, None),
            StorageUpdate::Limits(Listed::All(all)) => {
                let listed = all.iter().map(|drivers| name_of(&drivers.metadata).to_owned()).collect();
                for name in others(self.cluster.volumes().limited_nodes(), &listed) {
                    self.cluster.volumes_mut().set_limits(&name, None);
                }
                all.iter().for_each(|drivers| self.learn_limits(drivers));
                self.listed.limits = true;
            }
        }
    }

    fn learn_claim(&mut self, claim: PersistentVolumeClaim) {
        let key = key_of(&claim);
        if self.cluster.volumes().claim(&key).is_some_and(|known| version(&known.metadata) > version(&claim.metadata)) {
            return; // what we wrote ourselves is newer
        }
        self.cluster.volumes_mut().set_claim(Arc::new(claim));
        self.helped(&Change::Claim(&key));
        let concerned: Vec<Uid> =
            self.awaiting.iter().filter(|(_, one)| one.claims.contains(&key)).map(|(uid, _)| uid.clone()).collect();
        concerned.iter().for_each(|uid| self.look_at_awaiting(uid));
    }

    fn learn_volume(&mut self, volume: PersistentVolume) {
        let name = name_of(&volume.metadata);
        if self.cluster.volumes().volume(name).is_some_and(|known| version(&known.metadata) > version(&volume.metadata))
        {
            return;
        }
        self.cluster.volumes_mut().set_volume(Arc::new(volume));
        self.helped(&Change::Storage);
    }

    fn learn_class(&mut self, class: StorageClass) {
        let name = name_of(&class.metadata).to_owned();
        self.cluster.volumes_mut().set_class(&name, Some(Arc::new(class)));
        self.helped(&Change::Storage);
    }

    fn learn_limits(&mut self, drivers: &CSINode) {
        self.cluster.volumes_mut().set_limits(name_of(&drivers.metadata), Some(drivers));
        self.helped(&Change::Storage);
    }

    /// Has written what a pod's claims need before it may go to its node.
    pub(crate) fn claim_for(&mut self, pod: PodName, node: Arc<str>, claiming: Claiming) {
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let selected = claiming.selected.iter().map(key_of).collect();
            let claims = claiming.claims.clone();
            let result = claim(client, claiming).await;
            Done::Claimed { pod, node, claims, selected, result }
        });
    }

    /// It has been written: the pod waits for those who make it true.
    pub(crate) fn await_claims(
        &mut self,
        pod: PodName,
        node: Arc<str>,
        claims: Vec<String>,
        selected: Vec<String>,
        written: Claimed,
    ) {
        written.volumes.into_iter().for_each(|volume| self.learn_volume(volume));
        written.claims.into_iter().for_each(|claim| self.learn_claim(claim));
        if !self.assumed.contains(&pod.uid) {
            return; // it is gone meanwhile
        }
        let patience =
            self.config.profiles.get(pod.profile).map_or(BIND_TIMEOUT, |profile| profile.volume_bind_timeout);
        let (uid, deadline) = (pod.uid.clone(), Instant::now() + patience);
        self.awaiting.insert(uid.clone(), Awaiting { pod, node, claims, selected, deadline });
        self.look_at_awaiting(&uid);
    }

    fn look_at_awaiting(&mut self, uid: &Uid) {
        let Some(awaiting) = self.awaiting.get(uid) else { return };
        let volumes = self.cluster.volumes();
        let is_given_up = |key: &String| volumes.selected_node(key).is_none() && !volumes.is_bound(key);
        if awaiting.claims.iter().all(|key| volumes.is_bound(key)) {
            if let Some(Awaiting { pod, node, .. }) = self.awaiting.remove(uid) {
                self.bind(pod, node);
            }
        } else if awaiting.selected.iter().any(is_given_up) {
            self.give_up_awaiting(uid, RequestError::NotProvisioned);
        }
    }

    fn give_up_awaiting(&mut self, uid: &Uid, error: RequestError) {
        let Some(Awaiting { pod, node, .. }) = self.awaiting.remove(uid) else { return };
        let message = format!("running PreBind plugin \"VolumeBinding\": {error}");
        self.record(&pod, EventKind::Warning, "FailedScheduling", message);
        self.unassume(&pod, &node, &error);
    }

    /// Gives up pods that have waited for too long.
    pub(crate) fn expire_awaiting(&mut self) {
        if self.awaiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let late = self.awaiting.iter().filter(|(_, one)| one.deadline <= now).map(|(uid, _)| uid.clone());
        for uid in late.collect::<Vec<Uid>>() {
            self.give_up_awaiting(&uid, RequestError::ClaimsNotBound);
        }
    }

    /// When the first of them has waited for too long.
    pub(crate) fn awaiting_deadline(&self) -> Option<Instant> {
        self.awaiting.values().map(|awaiting| awaiting.deadline).min()
    }
}

/// How long pods wait for their claims unless the configuration says otherwise.
pub(crate) const BIND_TIMEOUT: Duration = Duration::from_secs(600);
