//! The volumes that a pod's claims are bound to.
//!
//! Read when the pod is set up, and kept: a bound claim does not change its volume. The node may read only what its own
//! pods claim, one object at a time.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use kube::{Api, Client};
use minato_workloads::volume::{EphemeralError, claim_name, is_made_for};

/// Why a claim has no volume for the pod (yet). Goes into a `FailedMount` event.
#[derive(Debug, thiserror::Error)]
#[error(
    "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], failed to process \
     volumes=[{volume}]: error processing PVC {namespace}/{claim}: {reason}"
)]
pub(crate) struct ClaimError {
    volume: String,
    namespace: String,
    claim: String,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("failed to fetch PVC from API server: {0}")]
    FetchClaim(String),
    #[error("PVC is being deleted")]
    Deleting,
    #[error("PVC is not bound")]
    Unbound,
    #[error("failed to fetch PV {0} from API server: {1}")]
    FetchVolume(String, String),
    #[error("PV {0} is not bound to this PVC")]
    Mismatch(String),
    #[error(transparent)]
    NotOwned(#[from] EphemeralError),
}

/// The volumes of one pod's claims, by the names of its volumes.
pub(crate) type ClaimedVolumes = BTreeMap<String, PersistentVolume>;

/// What is known of one pod's claims.
#[derive(Default)]
pub(crate) struct Claims {
    resolved: ClaimedVolumes,
}

impl Claims {
    /// The volumes of all claims of the pod.
    pub(crate) async fn current(&mut self, client: &Client, pod: &Pod) -> Result<ClaimedVolumes, ClaimError> {
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let claim = match (&volume.persistent_volume_claim, &volume.ephemeral) {
                (Some(source), _) => source.claim_name.clone(),
                (None, Some(_)) => claim_name(pod, volume),
                (None, None) => continue,
            };
            if self.resolved.contains_key(&volume.name) {
                continue;
            }
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            let found = resolve(client, pod, volume, &namespace, &claim).await;
            let found = found.map_err(|reason| ClaimError { volume: volume.name.clone(), namespace, claim, reason })?;
            self.resolved.insert(volume.name.clone(), found);
        }
        Ok(self.resolved.clone())
    }
}

async fn resolve(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    namespace: &str,
    claim: &str,
) -> Result<PersistentVolume, Reason> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get(claim).await.map_err(|error| Reason::FetchClaim(words_of(&error)))?;
    if volume.ephemeral.is_some() {
        is_made_for(pod, &claim)?;
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(Reason::Deleting);
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    let Some(named) = named.filter(|_| phase == Some("Bound")) else { return Err(Reason::Unbound) };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = volumes.get(&named).await.map_err(|error| Reason::FetchVolume(named.clone(), words_of(&error)))?;
    let bound = found.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone());
    if bound.is_none() || bound != claim.metadata.uid {
        return Err(Reason::Mismatch(named));
    }
    Ok(found)
}

fn words_of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
