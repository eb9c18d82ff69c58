//! What uses claims, volumes and attribute classes, so that it may not go yet.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

/// On claims: until no pod uses it.
pub const CLAIM: &str = "kubernetes.io/pvc-protection";
/// On volumes: until no claim is bound to it.
pub const VOLUME: &str = "kubernetes.io/pv-protection";
/// On attribute classes: until no claim or volume has it.
pub const CLASS: &str = "kubernetes.io/vac-protection";

/// The claims that a pod uses, each as `namespace/name`; those made for it alone among them.
pub fn claims_of(pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let claims = volumes.iter().filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(format!("{namespace}/{}", source.claim_name)),
        (None, Some(_)) => Some(format!("{namespace}/{name}-{}", volume.name)),
        (None, None) => None,
    });
    claims.collect()
}

/// Whether a pod uses its claims no more. One that has not been given to a node, or was and has not ended, uses them;
/// while a claim is to go, no new pod is scheduled onto it.
pub fn is_done_with_claims(pod: &Pod) -> bool {
    let is_scheduled =
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty());
    !is_scheduled || crate::pod::is_finished(pod)
}

/// Whether a claim is bound to the volume.
pub fn is_in_use(volume: &PersistentVolume) -> bool {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// The attribute classes that a claim has, wants, or is on its way to.
pub fn attribute_classes(claim: &PersistentVolumeClaim) -> Vec<String> {
    let status = claim.status.as_ref();
    let classes = [
        claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.clone()),
        status.and_then(|status| status.current_volume_attributes_class_name.clone()),
        status.and_then(|status| status.modify_volume_status.as_ref()?.target_volume_attributes_class_name.clone()),
    ];
    let mut classes: Vec<String> = classes.into_iter().flatten().filter(|class| !class.is_empty()).collect();
    classes.sort();
    classes.dedup();
    classes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_and_their_claims() {
        let pod = |node: &str, phase: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"phase": phase},
                "spec": {"nodeName": node, "containers": [], "volumes": [
                    {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "ephemeral": {}},
                    {"name": "d", "emptyDir": {}}]}}))
            .unwrap()
        };
        assert_eq!(claims_of(&pod("", "Pending")), ["n/c", "n/p-b"]);
        for (node, phase, done) in
            [("", "Pending", true), ("x", "Pending", false), ("x", "Running", false), ("x", "Failed", true)]
        {
            assert_eq!(is_done_with_claims(&pod(node, phase)), done, "{node} {phase}");
        }
    }

    #[test]
    fn classes_of_claims() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "spec": {"volumeAttributesClassName": "gold"},
            "status": {"currentVolumeAttributesClassName": "gold",
                "modifyVolumeStatus": {"status": "Pending", "targetVolumeAttributesClassName": "iron"}}}))
        .unwrap();
        assert_eq!(attribute_classes(&claim), ["gold", "iron"]);
    }
}
