//! Claims find their volumes, and volumes their claims.
//!
//! A binding is written in four steps, each of which can be the last before a crash: the volume names the claim, the
//! volume is `Bound`, the claim names the volume, the claim is `Bound`. [`plan_claim`] and [`plan_volume`] tell the next
//! write only; they are asked again with what came of it until there is nothing to write.

mod binding;
mod claim;
mod ephemeral;
mod local_path;
mod reclaim;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

pub use minato_placement::volume::BOUND_BY_CONTROLLER;

pub use claim::{ClaimView, plan_claim};
pub use ephemeral::{EphemeralError, claim_name, ephemeral_claim, is_made_for};
pub use local_path::{LocalPath, Provisioned, Removal, grown, is_to_provision, other_finalizers, removal};
pub use reclaim::{VolumeView, plan_volume};

/// On claims: the binding was completed once.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On volumes: who made it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On claims: who shall make a volume.
pub const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The older name of [`PROVISIONER`].
pub const PROVISIONER_BETA: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On claims: the node that the scheduler has chosen for the first pod.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Metadata and specification of a volume.
    Volume(Box<PersistentVolume>),
    /// Status of a volume.
    VolumeStatus(Box<PersistentVolume>),
    /// Metadata and specification of a claim.
    Claim(Box<PersistentVolumeClaim>),
    /// Status of a claim.
    ClaimStatus(Box<PersistentVolumeClaim>),
}

/// Whom an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The claim.
    Claim,
    /// The volume.
    Volume,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whom it is about.
    pub about: About,
    /// Whether somebody may have to act.
    pub warning: bool,
    /// In one word.
    pub reason: &'static str,
    /// In full.
    pub message: String,
}

impl Event {
    fn normal(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, warning: false, reason, message: message.into() }
    }

    fn warning(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, warning: true, reason, message: message.into() }
    }
}

/// What to do next about a claim or a volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The next write; none if all is as it should be, or nothing can be done.
    pub write: Option<Write>,
    /// What to tell.
    pub events: Vec<Event>,
    /// The claim of the volume has to be looked at.
    pub look_at_claim: bool,
}

impl Plan {
    fn write(write: Option<Write>) -> Self {
        Self { write, ..Self::default() }
    }

    fn tell(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }
}

fn annotation<'a>(
    metadata: &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    key: &str,
) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
