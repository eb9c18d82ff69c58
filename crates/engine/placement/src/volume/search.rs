//! Whether a pod's volumes can be had on a node: upstream's `VolumeRestrictions`, `NodeVolumeLimits`, `VolumeBinding` and
//! `VolumeZone`, asked once for a pod and all nodes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm};
use minato_quantity::Quantity;

use super::matching::Reach;
use super::mounts::{Mount, Mounts};
use super::store::{SELECTED_NODE, Standing, Volumes};
use crate::cluster::Slot;
use crate::demand::Demand;
use crate::profile::{Plugin, Profile};
use crate::refusal::Refusal;

type Labels = BTreeMap<String, String>;

/// Labels that tell where a volume and a node are, and the newer name of each.
const ZONES: [(&str, &str); 4] = [
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// What storage says against a pod, everywhere or on some nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    everywhere: Option<Refusal>,
    by_slot: Vec<Option<Refusal>>,
    /// Claims that one pod alone may use.
    exclusive: Vec<String>,
    /// How many pods use them.
    users: i64,
}

/// What is decided for a claim that is not bound yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) claim: String,
    /// The volume that it gets; one is made if there is none.
    pub(super) volume: Option<String>,
}

/// A claim that is bound when its pod has a node.
struct Delayed<'a> {
    key: &'a str,
    requested: Quantity,
    /// Where its volume is being made already.
    selected: Option<&'a str>,
    candidates: Vec<(&'a str, Reach)>,
    /// In which places a volume can be made; `None`: nowhere.
    can_be_made: Option<&'a [TopologySelectorTerm]>,
}

/// The claims of a pod, read once for all nodes.
#[derive(Default)]
pub(super) struct Wants<'a> {
    bound: Vec<(&'a PersistentVolume, Reach)>,
    is_volume_missing: bool,
    delayed: Vec<Delayed<'a>>,
}

impl<'a> Wants<'a> {
    /// # Errors
    /// What speaks against the pod wherever it goes.
    pub(super) fn read(volumes: &'a Volumes, mounts: &'a Mounts) -> Result<Self, Refusal> {
        let mut wants = Self::default();
        let mut is_immediate = false;
        for mount in &mounts.claims {
            let claim = usable(volumes, mount)?;
            match volumes.standing(claim) {
                Standing::Bound(name) => match volumes.volume(&name) {
                    Some(volume) => wants.bound.push((volume, Reach::of(volume))),
                    None => wants.is_volume_missing = true,
                },
                Standing::Immediate => is_immediate = true,
                Standing::Delayed => wants.delayed.push(Delayed::read(volumes, &mount.claim, claim)),
            }
        }
        if is_immediate {
            return Err(Refusal::Claims("pod has unbound immediate PersistentVolumeClaims".to_owned()));
        }
        wants.delayed.sort_by_key(|delayed| delayed.requested);
        Ok(wants)
    }

    /// What becomes of the claims that are not bound yet if the pod goes to that node.
    pub(super) fn choose(&self, node: &str, labels: &Labels) -> Result<Vec<Chosen>, Refusal> {
        if self.is_volume_missing {
            return Err(Refusal::VolumeMissing);
        }
        if !self.bound.iter().all(|(_, reach)| reach.includes(node, labels)) {
            return Err(Refusal::VolumeElsewhere);
        }
        let mut chosen: Vec<Chosen> = Vec::new();
        for delayed in &self.delayed {
            let volume = match delayed.selected {
                Some(selected) if selected != node => return Err(Refusal::NoVolume),
                Some(_) => None,
                None => {
                    let is_free = |name: &str| chosen.iter().all(|other| other.volume.as_deref() != Some(name));
                    let mut candidates = delayed.candidates.iter();
                    candidates.find(|(name, reach)| is_free(name) && reach.includes(node, labels))
                }
            };
            if volume.is_none() && !delayed.can_be_made.is_some_and(|terms| is_in(terms, labels)) {
                return Err(Refusal::NoVolume);
            }
            let volume = volume.map(|(name, _)| (*name).to_owned());
            chosen.push(Chosen { claim: delayed.key.to_owned(), volume });
        }
        Ok(chosen)
    }
}

/// The claim, if a pod may use it.
fn usable<'a>(volumes: &'a Volumes, mount: &Mount) -> Result<&'a PersistentVolumeClaim, Refusal> {
    let (namespace, name) = mount.claim.split_once('/').unwrap_or_default();
    let Some(claim) = volumes.claim(&mount.claim) else {
        return Err(Refusal::Claims(match mount.made_for {
            Some(_) => format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"),
            None => format!("persistentvolumeclaim {name:?} not found"),
        }));
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        let message = format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {named:?}");
        return Err(Refusal::Claims(message));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::Claims(format!("persistentvolumeclaim {name:?} is being deleted")));
    }
    if let Some(uid) = &mount.made_for {
        let mut owners = claim.metadata.owner_references.iter().flatten();
        if !owners.any(|owner| owner.controller == Some(true) && owner.uid == *uid) {
            let message = format!("PVC {namespace}/{name} was not created for pod {namespace} (pod is not owner)");
            return Err(Refusal::Claims(message));
        }
    }
    Ok(claim)
}

impl<'a> Delayed<'a> {
    fn read(volumes: &'a Volumes, key: &'a str, claim: &'a PersistentVolumeClaim) -> Self {
        let annotations = claim.metadata.annotations.as_ref();
        let written = annotations.and_then(|all| all.get(SELECTED_NODE)).map(String::as_str);
        let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let size = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
        let class = volumes.class_of(claim);
        let is_made = class
            .is_some_and(|class| !class.provisioner.is_empty() && class.provisioner != "kubernetes.io/no-provisioner");
        let terms = class.and_then(|class| class.allowed_topologies.as_deref()).unwrap_or_default();
        let assumed = volumes.assumed(key);
        let mut candidates = volumes.candidates(key, claim);
        if let Some(assumed) = assumed.and_then(|assumed| assumed.volume.as_deref()) {
            candidates.retain(|volume| volume.metadata.name.as_deref() == Some(assumed));
        }
        let assumed = assumed.filter(|assumed| assumed.volume.is_none()).map(|assumed| &*assumed.node);
        let named =
            |volume: &'a std::sync::Arc<PersistentVolume>| Some((volume.metadata.name.as_deref()?, Reach::of(volume)));
        Self {
            key,
            requested: size.and_then(|size| Quantity::parse(&size.0).ok()).unwrap_or_default(),
            selected: written.or(assumed),
            candidates: candidates.into_iter().filter_map(named).collect(),
            can_be_made: is_made.then_some(terms),
        }
    }
}

fn is_in(terms: &[TopologySelectorTerm], labels: &Labels) -> bool {
    let holds = |term: &TopologySelectorTerm| {
        let mut all = term.match_label_expressions.iter().flatten();
        all.all(|one| labels.get(&one.key).is_some_and(|value| one.values.contains(value)))
    };
    terms.is_empty() || terms.iter().any(holds)
}

/// Whether a node is where a bound volume is.
fn is_in_zone(volume: &PersistentVolume, labels: &Labels) -> bool {
    if !ZONES.iter().any(|(key, _)| labels.contains_key(*key)) {
        return true; // a node that is nowhere is everywhere
    }
    let places = volume.metadata.labels.as_ref();
    ZONES.iter().all(|(key, newer)| match places.and_then(|places| places.get(*key)) {
        None => true,
        Some(values) => {
            let here = labels.get(*key).or_else(|| labels.get(*newer));
            here.is_some_and(|here| values.split("__").any(|value| value == here))
        }
    })
}

/// Driver and handle of a claim's volume, be it made or not.
fn attachment(volumes: &Volumes, key: &str) -> Option<(String, String)> {
    let claim = volumes.claim(key)?;
    let Standing::Bound(name) = volumes.standing(claim) else {
        let class = volumes.class_of(claim)?;
        return Some((class.provisioner.clone(), format!("{}-{key}", class.provisioner)));
    };
    let csi = volumes.volume(&name)?.spec.as_ref()?.csi.as_ref()?;
    Some((csi.driver.clone(), csi.volume_handle.clone()))
}

/// Whether a node would have more volumes of a driver than it takes.
fn is_over_limit(volumes: &Volumes, mounts: &Mounts, slot: &Slot) -> bool {
    let Some(limits) = volumes.limits_of(&slot.name).filter(|limits| !limits.is_empty()) else { return false };
    let of = |mounts: &Mounts| -> Vec<(String, String)> {
        mounts.claims.iter().filter_map(|mount| attachment(volumes, &mount.claim)).collect()
    };
    let here: BTreeSet<(String, String)> = slot.mounts.iter().flat_map(|mounts| of(mounts)).collect();
    let new: BTreeSet<(String, String)> = of(mounts).into_iter().filter(|one| !here.contains(one)).collect();
    let count = |set: &BTreeSet<(String, String)>, driver: &str| set.iter().filter(|(of, _)| of == driver).count();
    new.iter().any(|(driver, _)| {
        let wanted = (count(&here, driver) + count(&new, driver)) as i64;
        limits.get(driver).is_some_and(|limit| wanted > *limit)
    })
}

impl Storage {
    /// Looks at every node; `None` if the pod mounts nothing that matters.
    pub(crate) fn new(volumes: &Volumes, profile: &Profile, slots: &[Slot], demand: &Demand) -> Option<Self> {
        let mounts: &Mounts = &demand.mounts;
        if mounts.is_empty() {
            return None;
        }
        let filters = |plugin| profile.filters(plugin);
        let mut storage = Self::default();
        let wants = match Wants::read(volumes, mounts) {
            Ok(wants) => wants,
            Err(refusal) if filters(Plugin::VolumeBinding) => {
                storage.everywhere = Some(refusal);
                return Some(storage);
            }
            Err(_) => Wants::default(),
        };
        if filters(Plugin::VolumeRestrictions) {
            let is_exclusive = |key: &str| {
                let modes = volumes.claim(key).and_then(|claim| claim.spec.as_ref()?.access_modes.as_ref());
                modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
            };
            let claims = mounts.claims.iter().map(|mount| mount.claim.clone());
            storage.exclusive = claims.filter(|key| is_exclusive(key)).collect();
            storage.users = storage.exclusive.iter().map(|key| i64::from(volumes.users_of(key))).sum();
        }
        let has_limits = filters(Plugin::NodeVolumeLimits) && volumes.has_limits();
        let refusal = |slot: &Slot| -> Option<Refusal> {
            let labels = &slot.offer.as_ref()?.labels;
            if filters(Plugin::VolumeRestrictions) {
                let mut there = slot.mounts.iter().flat_map(|mounts| &mounts.disks);
                if there.any(|disk| mounts.disks.iter().any(|own| own.conflicts(disk))) {
                    return Some(Refusal::DiskInUse);
                }
            }
            if has_limits && is_over_limit(volumes, mounts, slot) {
                return Some(Refusal::TooManyVolumes);
            }
            if filters(Plugin::VolumeBinding)
                && let Err(refusal) = wants.choose(&slot.name, labels)
            {
                return Some(refusal);
            }
            let in_zone = |(volume, _): &(&PersistentVolume, Reach)| is_in_zone(volume, labels);
            (filters(Plugin::VolumeZone) && !wants.bound.iter().all(in_zone)).then_some(Refusal::VolumeZone)
        };
        storage.by_slot = slots.iter().map(refusal).collect();
        Some(storage)
    }

    /// What speaks against the pod wherever it goes.
    pub(crate) fn everywhere(&self) -> Option<&Refusal> {
        self.everywhere.as_ref()
    }

    /// What speaks against a node.
    pub(crate) fn refusal(&self, slot: usize) -> Option<Refusal> {
        if let Some(refusal) = &self.everywhere {
            return Some(refusal.clone());
        }
        if self.users > 0 {
            return Some(Refusal::ClaimInUse);
        }
        self.by_slot.get(slot).cloned().flatten()
    }

    /// Counts another pod as if it came (`by` 1) or left (-1).
    pub(crate) fn shift(&mut self, other: &Demand, by: i64) {
        if !self.exclusive.is_empty() {
            let shared = other.mounts.claims.iter().filter(|mount| self.exclusive.contains(&mount.claim));
            self.users += by * shared.count() as i64;
        }
    }
}
