//! The claims of a StatefulSet's pods, and who owns them by the set's retention policy (KEP-1847).

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::identity::pod_name;
use super::{Observed, Step};
use crate::ownership::controller_reference;

fn templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

fn template_name(template: &PersistentVolumeClaim) -> &str {
    template.metadata.name.as_deref().unwrap_or_default()
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}", template_name(template), pod_name(set, ordinal))
}

/// The claims of the pod with that ordinal, as they are made.
#[must_use]
pub fn claims_of(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selected = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let claim = |template: &PersistentVolumeClaim| {
        let mut labels: BTreeMap<String, String> = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(selected.clone());
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim_name(set, template, ordinal)),
                namespace: set.metadata.namespace.clone(),
                labels: (!labels.is_empty()).then_some(labels),
                annotations: template.metadata.annotations.clone(),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    };
    templates(set).iter().map(claim).collect()
}

/// Puts the claims of that ordinal in place of the template's volumes of the same names.
pub(super) fn mount(set: &StatefulSet, ordinal: i32, spec: &mut PodSpec) {
    let claimed: Vec<Volume> = templates(set)
        .iter()
        .map(|template| Volume {
            name: template_name(template).to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    if claimed.is_empty() {
        return;
    }
    let volumes = spec.volumes.take().unwrap_or_default();
    let others = volumes.into_iter().filter(|volume| claimed.iter().all(|claim| claim.name != volume.name));
    spec.volumes = Some(claimed.iter().cloned().chain(others).collect());
}

/// Makes the claims that are missing and gives the others the owners that the retention policy wants. `pod` is the
/// pod with that ordinal and whether it goes because the set shrinks.
pub(super) fn ensure(observed: &Observed<'_>, ordinal: i32, pod: Option<(&Pod, bool)>, steps: &mut Vec<Step>) {
    for mut claim in claims_of(observed.set, ordinal) {
        let found = (observed.claim)(claim.metadata.name.as_deref().unwrap_or_default());
        match found {
            None if pod.is_some_and(|(_, condemned)| condemned) => {}
            None => {
                claim.metadata.owner_references = owners(observed.set, None, pod).filter(|owners| !owners.is_empty());
                steps.push(Step::CreateClaim(Box::new(claim)));
            }
            Some(found) if found.metadata.deletion_timestamp.is_some() => {}
            Some(found) => {
                if let Some(owners) = owners(observed.set, found.metadata.owner_references.as_ref(), pod) {
                    let mut owned = PersistentVolumeClaim::clone(&found);
                    owned.metadata.owner_references = Some(owners);
                    steps.push(Step::UpdateClaim(Box::new(owned)));
                }
            }
        }
    }
}

/// The owners that a claim should have; none if it has them.
fn owners(
    set: &StatefulSet,
    have: Option<&Vec<OwnerReference>>,
    pod: Option<(&Pod, bool)>,
) -> Option<Vec<OwnerReference>> {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    let when_deleted = deletes(policy.and_then(|policy| policy.when_deleted.as_ref()));
    let when_scaled = deletes(policy.and_then(|policy| policy.when_scaled.as_ref()));
    let goes_with_pod = when_scaled && pod.is_some_and(|(_, condemned)| condemned);
    let goes_with_set = when_deleted && !goes_with_pod;

    let by_set = controller_reference("apps/v1", "StatefulSet", &set.metadata);
    let by_pod = pod.map(|(pod, _)| controller_reference("v1", "Pod", &pod.metadata));
    let have = have.map(Vec::as_slice).unwrap_or_default();
    let has = |uid: &str| have.iter().any(|owner| owner.uid == uid);
    if has(&by_set.uid) == goes_with_set && by_pod.as_ref().is_none_or(|pod| has(&pod.uid) == goes_with_pod) {
        return None;
    }
    let is_ours =
        |owner: &&OwnerReference| owner.uid == by_set.uid || by_pod.as_ref().is_some_and(|pod| pod.uid == owner.uid);
    let mut owners: Vec<OwnerReference> = have.iter().filter(|owner| !is_ours(owner)).cloned().collect();
    owners.extend(goes_with_set.then_some(by_set));
    owners.extend(by_pod.filter(|_| goes_with_pod));
    Some(owners)
}
