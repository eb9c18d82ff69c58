//! What a volume needs next: upstream's `syncVolume`.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use minato_placement::volume::modes_agree;

use super::binding::{unbind, volume_status};
use super::{About, Event, PROVISIONED_BY, Plan, annotation};

/// A volume and what matters to it.
#[derive(Debug)]
pub struct VolumeView<'a> {
    /// The volume.
    pub volume: &'a PersistentVolume,
    /// The claim of the name for which it is kept.
    pub claim: Option<&'a PersistentVolumeClaim>,
}

/// What to do next about a volume.
#[must_use]
pub fn plan_volume(view: &VolumeView<'_>) -> Plan {
    let volume = view.volume;
    let Some(kept) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
        return Plan::write(volume_status(volume, "Available", None));
    };
    let kept_uid = kept.uid.as_deref().unwrap_or_default();
    if kept_uid.is_empty() {
        let available = Plan::write(volume_status(volume, "Available", None));
        return Plan { look_at_claim: view.claim.is_some(), ..available };
    }
    // A claim of the same name that is another's successor is not this volume's.
    let claim = view.claim.filter(|claim| claim.metadata.uid.as_deref() == Some(kept_uid));
    let Some(claim) = claim else { return release(volume) };
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default() {
        "" if !modes_agree(claim, volume) => {
            let claim_name = claim.metadata.name.as_deref().unwrap_or_default();
            let at_volume = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {claim_name:?} due to incompatible volumeMode."
            );
            let at_claim = format!(
                "Cannot bind PersistentVolume {name:?} to requested PersistentVolumeClaim due to incompatible volumeMode."
            );
            Plan::default().tell(Event::warning(About::Volume, "VolumeMismatch", at_volume)).tell(Event::warning(
                About::Claim,
                "VolumeMismatch",
                at_claim,
            ))
        }
        "" => Plan { look_at_claim: true, ..Plan::default() },
        named if named == name => Plan::write(volume_status(volume, "Bound", None)),
        _ if is_made_for_claim(volume) => release(volume),
        _ => Plan::write(Some(unbind(volume))),
    }
}

/// It was made for a claim that has found another volume.
fn is_made_for_claim(volume: &PersistentVolume) -> bool {
    annotation(&volume.metadata, PROVISIONED_BY).is_some() && policy_of(volume) == "Delete"
}

fn policy_of(volume: &PersistentVolume) -> &str {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}

/// The claim is gone: what becomes of the volume is its reclaim policy's business.
fn release(volume: &PersistentVolume) -> Plan {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    if !matches!(phase, Some("Released" | "Failed")) {
        return Plan::write(volume_status(volume, "Released", None));
    }
    let (reason, message) = match policy_of(volume) {
        "Retain" => return Plan::default(),
        "Recycle" => ("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned()),
        "Delete" => {
            // Whoever made it removes it.
            let made_by = annotation(&volume.metadata, PROVISIONED_BY).unwrap_or_default();
            if !made_by.is_empty() && !made_by.starts_with("kubernetes.io/") {
                return Plan::default();
            }
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            let error = match made_by {
                "" => format!(
                    "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
                ),
                made_by => format!("no volume plugin matched name: {made_by}"),
            };
            ("VolumeFailedDelete", error)
        }
        _ => ("VolumeUnknownReclaimPolicy", "Volume has unrecognized reclaim policy".to_owned()),
    };
    match volume_status(volume, "Failed", Some(&message)) {
        None => Plan::default(),
        write => Plan::write(write).tell(Event::warning(About::Volume, reason, message)),
    }
}
