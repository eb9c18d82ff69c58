//! What the scheduler says to the API.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_placement::Uid;
use minato_placement::volume::Claiming;
use serde_json::{Value, json};

use crate::extender::ExtenderError;
use crate::storage::{Claimed, name_of};

/// An answer that takes longer will not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why a request had no success. It may have been carried out all the same: the watch will show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the API refused, or could not be reached")]
    Api(#[from] kube::Error),
    #[error("no answer within {ANSWER_WITHIN:?}")]
    TimedOut,
    #[error("an extender did not bind")]
    Extender(#[from] ExtenderError),
    #[error("binding volumes: context deadline exceeded")]
    ClaimsNotBound,
    #[error("binding volumes: provisioning failed for a claim of the pod")]
    NotProvisioned,
}

impl RequestError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.is_not_found())
    }
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    match tokio::time::timeout(ANSWER_WITHIN, request).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(RequestError::TimedOut),
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<(), RequestError> {
    answer(request).await.map(drop)
}

/// The pod that is spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The number of the profile that speaks of it.
    pub(crate) profile: usize,
}

impl PodName {
    pub(crate) fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.0.to_string()),
            ..ObjectReference::default()
        }
    }
}

/// Binds the pod to the node, if it still is the pod of that uid.
pub(crate) async fn bind(client: Client, pod: &PodName, node: &str) -> Result<(), RequestError> {
    let target = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    let metadata = ObjectMeta {
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.0.to_string()),
        ..ObjectMeta::default()
    };
    let binding = Binding { metadata, target };
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace);
    in_time(pods.create_subresource::<_, Value>("binding", &pod.name, &PostParams::default(), &binding)).await
}

/// Keeps volumes for a pod's claims, and has volumes made for the others.
pub(crate) async fn claim(client: Client, claiming: Claiming) -> Result<Claimed, RequestError> {
    let how = PostParams::default();
    let mut written = Claimed { volumes: Vec::new(), claims: Vec::new() };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for volume in claiming.kept {
        written.volumes.push(answer(volumes.replace(name_of(&volume.metadata), &how, &volume)).await?);
    }
    for claim in claiming.selected {
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        written.claims.push(answer(claims.replace(name_of(&claim.metadata), &how, &claim)).await?);
    }
    Ok(written)
}

/// What the pod's status says of where it may go.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// Why it fits nowhere.
    pub(crate) message: String,
    /// Since when.
    pub(crate) since: Time,
    /// The node on which others give way to it; `None` leaves what is written, the empty text removes it.
    pub(crate) nominated: Option<String>,
}

/// Writes into the pod's status that it fits nowhere, since when, and where it will.
pub(crate) async fn tell(client: Client, pod: &PodName, verdict: &Verdict) -> Result<(), RequestError> {
    let condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": verdict.message,
        "lastProbeTime": null,
        "lastTransitionTime": verdict.since,
    });
    let mut status = json!({ "conditions": [condition] });
    match verdict.nominated.as_deref() {
        None => {}
        Some("") => status["nominatedNodeName"] = Value::Null,
        Some(node) => status["nominatedNodeName"] = node.into(),
    }
    patch_status(client, pod, status).await
}

/// Keeps no place for the pod any more.
pub(crate) async fn denominate(client: Client, pod: &PodName) -> Result<(), RequestError> {
    patch_status(client, pod, json!({ "nominatedNodeName": null })).await
}

/// Tells the pod why it must go, and deletes it.
pub(crate) async fn evict(client: Client, pod: &PodName, scheduler: &str, now: &Time) -> Result<(), RequestError> {
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": format!("{scheduler}: preempting to accommodate a higher priority pod"),
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    patch_status(client.clone(), pod, json!({ "conditions": [condition] })).await?;
    let uid = Some(pod.uid.0.to_string());
    let parameters =
        DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() };
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace);
    in_time(pods.delete(&pod.name, &parameters)).await
}

async fn patch_status(client: Client, pod: &PodName, status: Value) -> Result<(), RequestError> {
    let patch = json!({ "metadata": { "uid": *pod.uid.0 }, "status": status });
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace);
    in_time(pods.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch))).await
}
