//! Claims that live as long as their pod (KEP-1698).

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::ownership::{controller_reference, is_controlled_by};

/// Why a pod cannot have the claim of one of its ephemeral volumes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EphemeralError {
    /// There is a claim of that name, and it is not the pod's.
    #[error("PVC {namespace}/{claim} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwned {
        /// The namespace of both.
        namespace: String,
        /// The claim.
        claim: String,
        /// The pod.
        pod: String,
    },
}

/// The name of the claim of a pod's ephemeral volume.
#[must_use]
pub fn claim_name(pod: &Pod, volume: &Volume) -> String {
    format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name)
}

/// Checks that a claim is the pod's.
///
/// # Errors
/// If it is another's.
pub fn is_made_for(pod: &Pod, claim: &PersistentVolumeClaim) -> Result<(), EphemeralError> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if claim.metadata.namespace == pod.metadata.namespace && is_controlled_by(&claim.metadata, uid) {
        return Ok(());
    }
    Err(EphemeralError::NotOwned {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        claim: claim.metadata.name.clone().unwrap_or_default(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
    })
}

/// The claim of a volume, as it is made; none if the volume is not ephemeral.
#[must_use]
pub fn ephemeral_claim(pod: &Pod, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let given = template.metadata.clone().unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim_name(pod, volume)),
            namespace: pod.metadata.namespace.clone(),
            labels: given.labels,
            annotations: given.annotations,
            owner_references: Some(vec![controller_reference("v1", "Pod", &pod.metadata)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec.clone()),
        status: None,
    })
}
