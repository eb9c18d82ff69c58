//! Which volume will do for a claim: by size, access, class, labels, mode and place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeAffinity as WrittenAffinity, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use minato_quantity::Quantity;
use minato_select::LabelSelector;

use crate::affinity::NodeAffinity;

/// Names the class of old objects; it comes before `storageClassName`.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

fn annotated_class(annotations: Option<&BTreeMap<String, String>>) -> Option<&str> {
    annotations?.get(CLASS_ANNOTATION).map(String::as_str)
}

/// The class that a claim asks for; empty if it wants a volume without one, or has none yet.
#[must_use]
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let written = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotated_class(claim.metadata.annotations.as_ref()).or(written).unwrap_or_default()
}

/// Whether a claim says anything of its class, be it that it wants none.
#[must_use]
pub fn names_class(claim: &PersistentVolumeClaim) -> bool {
    annotated_class(claim.metadata.annotations.as_ref()).is_some()
        || claim.spec.as_ref().is_some_and(|spec| spec.storage_class_name.is_some())
}

/// The class of a volume; empty if it has none.
#[must_use]
pub fn class_of_volume(volume: &PersistentVolume) -> &str {
    let written = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotated_class(volume.metadata.annotations.as_ref()).or(written).unwrap_or_default()
}

/// Whether a volume is the claim's, or is kept for a claim of its name.
#[must_use]
pub fn is_kept_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()).is_some_and(|kept| {
        kept.name == claim.metadata.name
            && kept.namespace == claim.metadata.namespace
            && (kept.uid.as_deref().unwrap_or_default().is_empty() || kept.uid == claim.metadata.uid)
    })
}

/// Whether both are file systems, or both are block devices.
#[must_use]
pub fn modes_agree(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let offered = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    wanted.unwrap_or("Filesystem") == offered.unwrap_or("Filesystem")
}

fn storage(list: Option<&BTreeMap<String, Written>>) -> Quantity {
    let written = list.and_then(|list| list.get("storage"));
    written.and_then(|written| Quantity::parse(&written.0).ok()).unwrap_or_default()
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    storage(resources.and_then(|resources| resources.requests.as_ref()))
}

fn grants_access(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let granted = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    let wanted = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    wanted.iter().all(|mode| granted.contains(mode))
}

fn attributes_agree(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let offered = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    offered.unwrap_or_default() == wanted.unwrap_or_default()
}

/// Why a volume that a claim names will not do for it.
#[must_use]
pub fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    if volume.metadata.deletion_timestamp.is_some() {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        return Some(format!("the volume is marked for deletion {name:?}"));
    }
    let reason = if capacity(volume) < requested(claim) {
        "requested PV is too small"
    } else if class_of_volume(volume) != class_of_claim(claim) {
        "storageClassName does not match"
    } else if !modes_agree(claim, volume) {
        "incompatible volumeMode"
    } else if !attributes_agree(volume, claim) {
        "volumeAttributesClassName does not match"
    } else if !grants_access(volume, claim) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// The volumes that will do for a claim, wherever they are: one that is kept for it alone, or all that are free, the
/// smallest first.
#[must_use]
pub fn candidates<'a, V>(claim: &PersistentVolumeClaim, volumes: impl IntoIterator<Item = &'a V>) -> Vec<&'a V>
where
    V: AsRef<PersistentVolume> + 'a,
{
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref()).map(LabelSelector::try_from);
    let Ok(selector) = selector.transpose() else { return Vec::new() };
    let wanted = requested(claim);
    let will_do = |volume: &PersistentVolume| {
        capacity(volume) >= wanted
            && modes_agree(claim, volume)
            && attributes_agree(volume, claim)
            && grants_access(volume, claim)
            && volume.metadata.deletion_timestamp.is_none()
    };
    let none = BTreeMap::new();
    let is_free = |volume: &PersistentVolume| {
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        let labels = volume.metadata.labels.as_ref().unwrap_or(&none);
        phase == Some("Available")
            && volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none())
            && class_of_volume(volume) == class_of_claim(claim)
            && selector.as_ref().is_none_or(|selector| selector.matches_labels(labels))
    };
    let mut free: Vec<&V> = Vec::new();
    for volume in volumes.into_iter().filter(|volume| will_do((*volume).as_ref())) {
        if is_kept_for(volume.as_ref(), claim) {
            return vec![volume];
        }
        if is_free(volume.as_ref()) {
            free.push(volume);
        }
    }
    let name = |volume: &V| volume.as_ref().metadata.name.clone();
    free.sort_by(|a, b| capacity((*a).as_ref()).cmp(&capacity((*b).as_ref())).then_with(|| name(a).cmp(&name(b))));
    free
}

/// From which nodes a volume can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(NodeAffinity);

impl Reach {
    /// Reads `spec.nodeAffinity`.
    #[must_use]
    pub fn of(volume: &PersistentVolume) -> Self {
        let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
        let required = affinity.and_then(|affinity| affinity.required.clone());
        let written = WrittenAffinity {
            required_during_scheduling_ignored_during_execution: required,
            preferred_during_scheduling_ignored_during_execution: None,
        };
        Self(NodeAffinity::of(Some(&written), None))
    }

    /// Whether it can be reached from a node with these labels.
    #[must_use]
    pub fn includes(&self, node: &str, labels: &BTreeMap<String, String>) -> bool {
        self.0.admits(node, labels)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::serde_json::{Value, from_value, json};

    use super::*;

    fn claim(spec: Value) -> PersistentVolumeClaim {
        from_value(json!({"metadata": {"namespace": "n", "name": "c", "uid": "1"}, "spec": spec})).unwrap()
    }

    fn volume(name: &str, size: &str, more: Value) -> Arc<PersistentVolume> {
        let mut spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"]});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let object = json!({"metadata": {"name": name, "labels": {"tier": name}}, "spec": spec,
            "status": {"phase": "Available"}});
        Arc::new(from_value(object).unwrap())
    }

    #[test]
    fn the_smallest_that_will_do() {
        let volumes = [
            volume("small", "1Gi", json!({})),
            volume("large", "10Gi", json!({})),
            volume("medium", "5Gi", json!({})),
            volume("block", "5Gi", json!({"volumeMode": "Block"})),
            volume("gold", "5Gi", json!({"storageClassName": "gold"})),
            volume("another", "5Gi", json!({"claimRef": {"namespace": "n", "name": "d"}})),
            volume("once", "4Gi", json!({"accessModes": ["ReadWriteOnce"]})),
        ];
        let request = |size: &str, more: Value| {
            let mut spec = json!({"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"]});
            spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            claim(spec)
        };
        for (size, more, expected) in [
            ("1Gi", json!({}), "small once medium large"),
            ("2Gi", json!({"accessModes": ["ReadWriteMany"]}), "medium large"),
            ("2Gi", json!({"volumeMode": "Block"}), "block"),
            ("2Gi", json!({"storageClassName": "gold"}), "gold"),
            ("2Gi", json!({"selector": {"matchLabels": {"tier": "large"}}}), "large"),
            ("20Gi", json!({}), ""),
            ("2Gi", json!({"accessModes": ["ReadOnlyMany"]}), ""),
        ] {
            let claim = request(size, more);
            let names: Vec<String> =
                candidates(&claim, &volumes).into_iter().map(|v| v.metadata.name.clone().unwrap()).collect();
            assert_eq!(names.join(" "), expected, "{claim:?}");
        }
    }

    #[test]
    fn what_is_kept_for_the_claim() {
        for (kept, expected) in [
            (json!({"namespace": "n", "name": "c"}), "kept"),
            (json!({"namespace": "n", "name": "c", "uid": "1"}), "kept"),
            (json!({"namespace": "n", "name": "c", "uid": "2"}), "free"),
            (json!({"namespace": "m", "name": "c"}), "free"),
        ] {
            let volumes = [
                volume("free", "1Gi", json!({})),
                volume("kept", "9Gi", json!({"claimRef": kept, "storageClassName": "other"})),
            ];
            let claim = claim(json!({"resources": {"requests": {"storage": "1Gi"}}}));
            let found = candidates(&claim, &volumes);
            assert_eq!(found[0].metadata.name.as_deref(), Some(expected), "{kept}");
        }
    }

    #[test]
    fn why_a_named_volume_will_not_do() {
        let claim = claim(json!({"resources": {"requests": {"storage": "2Gi"}}, "accessModes": ["ReadWriteOnce"]}));
        for (size, more, expected) in [
            ("2Gi", json!({}), None),
            ("1Gi", json!({}), Some("requested PV is too small")),
            ("2Gi", json!({"storageClassName": "x"}), Some("storageClassName does not match")),
            ("2Gi", json!({"volumeMode": "Block"}), Some("incompatible volumeMode")),
            ("2Gi", json!({"accessModes": ["ReadOnlyMany"]}), Some("incompatible accessMode")),
        ] {
            assert_eq!(mismatch(&volume("v", size, more), &claim).as_deref(), expected);
        }
    }
}
