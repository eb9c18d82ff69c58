//! The steps of a binding, and what the status of either side says.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeStatus,
};
use minato_placement::volume::keep;

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, Write, annotation};

const YES: &str = "yes";

/// The next step towards a binding; none if it is complete.
pub(super) fn bind(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Write> {
    name_claim(volume, claim)
        .or_else(|| volume_status(volume, "Bound", None))
        .or_else(|| name_volume(claim, volume))
        .or_else(|| claim_status(claim, "Bound", Some(volume)))
}

/// The volume with the claim's name in it; none if it is there.
fn name_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Write> {
    let kept = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let names_it = kept.is_some_and(|kept| {
        kept.uid == claim.metadata.uid
            && kept.name == claim.metadata.name
            && kept.namespace == claim.metadata.namespace
            && kept.uid.is_some()
    });
    if names_it {
        return None;
    }
    Some(Write::Volume(Box::new(keep(volume, claim))))
}

/// The claim with the volume's name in it; none if it is there.
fn name_volume(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Write> {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    let is_named = Some(&named) == volume.metadata.name.as_ref();
    if is_named && annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return None;
    }
    let mut bound = claim.clone();
    if !is_named {
        bound.spec.get_or_insert_default().volume_name.clone_from(&volume.metadata.name);
        annotate(&mut bound.metadata.annotations, BOUND_BY_CONTROLLER, YES);
    }
    annotate(&mut bound.metadata.annotations, BIND_COMPLETED, YES);
    Some(Write::Claim(Box::new(bound)))
}

pub(super) fn annotate(annotations: &mut Option<BTreeMap<String, String>>, key: &str, value: &str) {
    annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}

/// The volume as the binder leaves it when it takes a binding back: free, or kept for the claim that the user named.
pub(super) fn unbind(volume: &PersistentVolume) -> Write {
    let mut free = volume.clone();
    let spec = free.spec.get_or_insert_default();
    if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        if let Some(annotations) = &mut free.metadata.annotations {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
        free.metadata.annotations = free.metadata.annotations.filter(|annotations| !annotations.is_empty());
    } else if let Some(kept) = &mut spec.claim_ref {
        kept.uid = None;
        kept.resource_version = None;
    }
    Write::Volume(Box::new(free))
}

/// The volume with that phase and message; none if it has them.
pub(super) fn volume_status(volume: &PersistentVolume, phase: &str, message: Option<&str>) -> Option<Write> {
    let status = volume.status.clone().unwrap_or_default();
    let message = message.unwrap_or_default();
    if status.phase.as_deref() == Some(phase) && status.message.as_deref().unwrap_or_default() == message {
        return None;
    }
    let status = PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        reason: None,
        ..status
    };
    Some(Write::VolumeStatus(Box::new(PersistentVolume { status: Some(status), ..volume.clone() })))
}

/// The claim with that phase, and what it has of the volume; none if that is what it says.
pub(super) fn claim_status(
    claim: &PersistentVolumeClaim,
    phase: &str,
    volume: Option<&PersistentVolume>,
) -> Option<Write> {
    let before = claim.status.clone().unwrap_or_default();
    let mut status = PersistentVolumeClaimStatus { phase: Some(phase.to_owned()), ..before.clone() };
    match volume.and_then(|volume| volume.spec.as_ref()) {
        None => {
            status.access_modes = None;
            status.capacity = None;
        }
        Some(spec) => {
            status.access_modes.clone_from(&spec.access_modes);
            let offered = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
            let known = before.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
            // What a bound claim says may differ on purpose: a file system that has not been grown yet.
            if known.is_none() || before.phase.as_deref() != Some("Bound") {
                status.capacity = offered.map(|offered| BTreeMap::from([("storage".to_owned(), offered.clone())]));
            }
            if before.phase.as_deref() != Some("Bound") {
                status.current_volume_attributes_class_name =
                    spec.volume_attributes_class_name.clone().filter(|class| !class.is_empty());
            }
        }
    }
    if status == before {
        return None;
    }
    Some(Write::ClaimStatus(Box::new(PersistentVolumeClaim { status: Some(status), ..claim.clone() })))
}
