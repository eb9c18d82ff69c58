//! The two things that the scheduler says to the API.

use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use minato_placement::Uid;
use serde_json::{Value, json};

/// The pod that is spoken of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodName {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
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
pub(crate) async fn bind(client: Client, pod: &PodName, node: &str) -> Result<(), kube::Error> {
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
    let answer: Result<Value, _> =
        pods.create_subresource("binding", &pod.name, &PostParams::default(), &binding).await;
    answer.map(drop)
}

/// Writes into the pod's status that it fits nowhere, and since when.
pub(crate) async fn tell(client: Client, pod: &PodName, message: &str, since: &Time) -> Result<(), kube::Error> {
    let condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    let patch = json!({ "metadata": { "uid": *pod.uid.0 }, "status": { "conditions": [condition] } });
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace);
    pods.patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
}
