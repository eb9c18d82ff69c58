//! What a claim needs next: upstream's `syncClaim`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use minato_placement::volume::{candidates, class_of_claim, is_kept_for, mismatch, names_class};

use super::binding::{annotate, bind, claim_status};
use super::{
    About, BIND_COMPLETED, BOUND_BY_CONTROLLER, Event, PROVISIONER, PROVISIONER_BETA, Plan, SELECTED_NODE, Write,
    annotation,
};

/// A claim and what matters to it.
#[derive(Debug)]
pub struct ClaimView<'a> {
    /// The claim.
    pub claim: &'a PersistentVolumeClaim,
    /// The volume that it names.
    pub named: Option<&'a PersistentVolume>,
    /// Volumes of its class, and those that are kept for a claim of its name.
    pub volumes: &'a [Arc<PersistentVolume>],
    /// The class that it names.
    pub class: Option<&'a StorageClass>,
    /// The class of claims that name none.
    pub default_class: Option<&'a StorageClass>,
    /// The names of pods that use it and have no node yet.
    pub waiting_pods: &'a [String],
}

/// What to do next about a claim.
#[must_use]
pub fn plan_claim(view: &ClaimView<'_>) -> Plan {
    let claim = view.claim;
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    match (annotation(&claim.metadata, BIND_COMPLETED).is_some(), named) {
        (true, "") => {
            lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
        }
        (true, _) => plan_bound(view),
        (false, "") => plan_free(view),
        (false, _) => plan_named(view),
    }
}

fn lost(claim: &PersistentVolumeClaim, reason: &'static str, message: &str) -> Plan {
    match claim_status(claim, "Lost", None) {
        None => Plan::default(),
        write => Plan::write(write).tell(Event::warning(About::Claim, reason, message)),
    }
}

/// The binding was complete once: it is now, or never again.
fn plan_bound(view: &ClaimView<'_>) -> Plan {
    let claim = view.claim;
    let Some(volume) = view.named else {
        return lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    match volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
        None => Plan::write(bind(volume, claim)),
        Some(kept) if kept.uid == claim.metadata.uid => Plan::write(bind(volume, claim)),
        Some(_) => {
            lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
        }
    }
}

fn pending(claim: &PersistentVolumeClaim) -> Plan {
    Plan::write(claim_status(claim, "Pending", None))
}

/// The user, or an earlier binding that was cut short, names a volume.
fn plan_named(view: &ClaimView<'_>) -> Plan {
    let claim = view.claim;
    let Some(volume) = view.named else { return pending(claim) };
    let is_kept = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
    if !is_kept {
        return match mismatch(volume, claim) {
            None => Plan::write(bind(volume, claim)),
            Some(reason) => {
                let name = volume.metadata.name.as_deref().unwrap_or_default();
                let message = format!("Cannot bind to requested volume {name:?}: {reason}");
                pending(claim).tell(Event::warning(About::Claim, "VolumeMismatch", message))
            }
        };
    }
    match is_kept_for(volume, claim) {
        true => Plan::write(bind(volume, claim)),
        // Its volume was taken by another while this binder was about to bind it: no claim stays so for long.
        false if annotation(&claim.metadata, BOUND_BY_CONTROLLER).is_some() => Plan::default(),
        false => pending(claim),
    }
}

/// A claim that names no volume.
fn plan_free(view: &ClaimView<'_>) -> Plan {
    let claim = view.claim;
    let waits = view.class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    let found = candidates(claim, view.volumes).into_iter().find(|volume| !waits || is_kept_for(volume, claim));
    if let Some(volume) = found {
        return Plan::write(bind(volume, claim));
    }
    if let Some(class) = view.default_class.filter(|_| !names_class(claim)) {
        let mut classified = claim.clone();
        classified.spec.get_or_insert_default().storage_class_name.clone_from(&class.metadata.name);
        return Plan::write(Some(Write::Claim(Box::new(classified))));
    }
    if waits && annotation(&claim.metadata, SELECTED_NODE).is_none() {
        return pending(claim).tell(wait_for_consumer(view.waiting_pods));
    }
    let class_name = class_of_claim(claim);
    if class_name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return pending(claim).tell(Event::normal(About::Claim, "FailedBinding", message));
    }
    provision(claim, class_name, view.class)
}

fn wait_for_consumer(pods: &[String]) -> Event {
    let (reason, message) = match pods {
        [] => {
            let message = "waiting for first consumer to be created before binding";
            return Event::normal(About::Claim, "WaitForFirstConsumer", message);
        }
        [only] => ("WaitForPodScheduled", format!("waiting for pod {only} to be scheduled")),
        many => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", many.join(","))),
    };
    Event::normal(About::Claim, reason, message)
}

/// Asks the class's provisioner for a volume. All of them live outside of this controller.
fn provision(claim: &PersistentVolumeClaim, class_name: &str, class: Option<&StorageClass>) -> Plan {
    let failed = |message: String| pending(claim).tell(Event::warning(About::Claim, "ProvisioningFailed", message));
    let Some(class) = class else {
        return failed(format!("storageclass.storage.k8s.io {class_name:?} not found"));
    };
    let provisioner = class.provisioner.as_str();
    if provisioner.starts_with("kubernetes.io/") {
        return failed(format!("no volume plugin matched name: {provisioner}"));
    }
    if annotation(&claim.metadata, PROVISIONER) != Some(provisioner) {
        let mut asking = claim.clone();
        annotate(&mut asking.metadata.annotations, PROVISIONER, provisioner);
        annotate(&mut asking.metadata.annotations, PROVISIONER_BETA, provisioner);
        return Plan::write(Some(Write::Claim(Box::new(asking))));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
         registered."
    );
    pending(claim).tell(Event::normal(About::Claim, "ExternalProvisioning", message))
}
