//! Revisions of workloads that keep their history in ControllerRevisions: StatefulSet and DaemonSet.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

use crate::deployment::template_hash;

/// The label by which a pod names its revision; a ControllerRevision carries its own hash under it.
pub const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";

/// What a workload's history needs so that it holds the workload's present template.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// Nothing: the newest revision is the present one.
    None,
    /// An older revision is the present one again: it gets this number.
    Renumber(Arc<ControllerRevision>, i64),
    /// A new revision.
    Create(Box<ControllerRevision>),
}

/// Whose history.
pub struct Owner<'a> {
    /// The workload's metadata; its annotations go into new revisions.
    pub metadata: &'a ObjectMeta,
    /// The reference that makes a revision the workload's.
    pub reference: OwnerReference,
    /// The present template.
    pub template: &'a PodTemplateSpec,
    /// `status.collisionCount`.
    pub collision_count: Option<i32>,
}

/// The revisions, oldest first.
#[must_use]
pub fn sorted(mut revisions: Vec<Arc<ControllerRevision>>) -> Vec<Arc<ControllerRevision>> {
    revisions.sort_by(|a, b| {
        let key = |r: &ControllerRevision| {
            (r.revision, r.metadata.creation_timestamp.as_ref().map(|time| time.0), r.metadata.name.clone())
        };
        key(a).cmp(&key(b))
    });
    revisions
}

/// Compares the present template with the history (oldest first).
#[must_use]
pub fn plan(owner: &Owner<'_>, history: &[Arc<ControllerRevision>]) -> Change {
    let data = data_of(owner.template);
    let next = history.last().map_or(1, |newest| newest.revision + 1);
    match history.iter().rposition(|revision| revision.data.as_ref().is_some_and(|have| have.0 == data)) {
        Some(index) if index + 1 == history.len() => Change::None,
        Some(index) => Change::Renumber(Arc::clone(&history[index]), next),
        None => Change::Create(Box::new(revision(owner, data, next))),
    }
}

/// Revisions beyond `limit` that no pod and no rollout needs any more, oldest first.
#[must_use]
pub fn surplus(
    history: &[Arc<ControllerRevision>],
    limit: i32,
    is_live: impl Fn(&ControllerRevision) -> bool,
) -> Vec<Arc<ControllerRevision>> {
    let spare: Vec<_> = history.iter().filter(|revision| !is_live(revision)).cloned().collect();
    let keep = usize::try_from(limit).unwrap_or(0);
    let go = spare.len().saturating_sub(keep);
    spare.into_iter().take(go).collect()
}

/// The template that a revision holds.
#[must_use]
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// The patch that brings a workload back to this template, as upstream stores it.
fn data_of(template: &PodTemplateSpec) -> Value {
    // A template came out of JSON, so it goes back into it.
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(template) = template.as_object_mut() {
        template.insert("$patch".to_owned(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

fn revision(owner: &Owner<'_>, data: Value, number: i64) -> ControllerRevision {
    let hash = template_hash(owner.template, owner.collision_count);
    let mut labels: BTreeMap<String, String> =
        owner.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.insert(CONTROLLER_REVISION_HASH.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", owner.metadata.name.as_deref().unwrap_or_default())),
            namespace: owner.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: owner.metadata.annotations.clone(),
            owner_references: Some(vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data)),
        revision: number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}))
        .unwrap()
    }

    fn owner<'a>(metadata: &'a ObjectMeta, template: &'a PodTemplateSpec) -> Owner<'a> {
        Owner { metadata, reference: OwnerReference::default(), template, collision_count: None }
    }

    #[test]
    fn history_grows_and_comes_back() {
        let metadata = ObjectMeta { name: Some("web".to_owned()), ..ObjectMeta::default() };
        let mut history = Vec::new();
        for (image, number) in [("a", 1), ("b", 2)] {
            let template = template(image);
            let Change::Create(created) = plan(&owner(&metadata, &template), &history) else { panic!("{image}") };
            assert_eq!(created.revision, number);
            assert_eq!(template_of(&created), Some(template.clone()));
            history.push(Arc::new(*created));
            assert_eq!(plan(&owner(&metadata, &template), &history), Change::None);
        }
        let first = Arc::clone(&history[0]);
        assert_eq!(plan(&owner(&metadata, &template("a")), &history), Change::Renumber(first, 3));
    }

    #[test]
    fn surplus_spares_what_lives() {
        let history: Vec<Arc<ControllerRevision>> =
            (1..=5).map(|revision| Arc::new(ControllerRevision { revision, ..Default::default() })).collect();
        let go = |limit, live: &[i64]| -> Vec<i64> {
            surplus(&history, limit, |revision| live.contains(&revision.revision)).iter().map(|r| r.revision).collect()
        };
        assert_eq!(go(2, &[5]), [1, 2]);
        assert_eq!(go(1, &[1, 5]), [2, 3]);
        assert_eq!(go(0, &[5]), [1, 2, 3, 4]);
        assert_eq!(go(10, &[]), [0; 0]);
    }
}
