//! Which ReplicaSet is the current revision, and the making of a new one.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::annotations::{self, REVISION, Sizes};
use super::hash::{POD_TEMPLATE_HASH, template_hash};
use super::status::Progress;
use super::{Member, Step, World};
use crate::ownership::controller_reference;

/// What to do if no ReplicaSet has the Deployment's template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Create,
    Leave,
}

/// Whether two templates make the same pods: equal but for the hash label and for what is empty in one and absent in the
/// other. Go's encoder writes some empty objects (`resources: {}`) that a manifest leaves out, and `kubectl rollout undo`
/// sends a template through it.
#[must_use]
pub fn same_template(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    one == other || canonical(one) == canonical(other)
}

fn canonical(template: &PodTemplateSpec) -> Value {
    // A template came out of JSON, so it goes back into it: its maps have text keys and its numbers are finite.
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
    }
    drop_empty(&mut value);
    value
}

/// Removes fields that hold nothing, innermost first. Elements of lists stay: their number means something.
fn drop_empty(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_empty);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

impl World<'_> {
    /// Takes the set of the current template out of `old`: the oldest, should there be several.
    pub(super) fn find_revisions(&mut self) {
        let is_current = |member: &Member| {
            let template = member.set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            template.is_some_and(|template| same_template(template, &self.spec.template))
        };
        if self.new.is_none()
            && let Some(position) = self.old.iter().position(is_current)
        {
            self.new = Some(self.old.remove(position));
        }
    }

    /// Finds or makes the set of the current template, and sees to it that it carries the highest revision.
    pub(super) fn sync_new_revision(&mut self, if_missing: IfMissing) {
        self.find_revisions();
        let revision = self.old.iter().map(|member| annotations::revision(&member.set)).max().unwrap_or(0) + 1;
        if self.new.is_some() {
            self.update_new_revision(revision);
        } else if if_missing == IfMissing::Create {
            self.create_new_revision(revision);
        }
    }

    fn update_new_revision(&mut self, revision: i64) {
        let deployment = self.observed.deployment;
        let Some(new) = &mut self.new else { return };
        let annotations = annotations::of_current_revision(deployment, &new.set, revision);
        let min_ready_seconds = self.spec.min_ready_seconds;
        let found_min_ready_seconds = new.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let differs = found_min_ready_seconds.unwrap_or(0) != min_ready_seconds.unwrap_or(0)
            || new.set.metadata.annotations.as_ref().map_or(!annotations.is_empty(), |found| *found != annotations);
        let current = annotations.get(REVISION).cloned();
        if differs {
            let mut set = (*new.set).clone();
            set.metadata.annotations = Some(annotations);
            set.spec.get_or_insert_default().min_ready_seconds = min_ready_seconds;
            new.set = set.clone().into();
            self.steps.push(Step::Update { replica_set: Box::new(set), scaled: None });
        }
        let name = new.name().to_owned();
        self.set_revision(current);
        self.note_progress_if_unknown(Progress::FoundNewReplicaSet, &name);
    }

    fn create_new_revision(&mut self, revision: i64) {
        let deployment = self.observed.deployment;
        let hash = template_hash(&self.spec.template, self.status.collision_count);
        let mut template = self.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());

        let deployment_name = deployment.metadata.name.as_deref().unwrap_or_default();
        let name = format!("{deployment_name}-{hash}");
        let replicas = self.size_of_new(0);
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![controller_reference("apps/v1", "Deployment", &deployment.metadata)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(replicas),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        set.metadata.annotations = Some(annotations::of_current_revision(deployment, &set, revision));
        annotations::set_sizes(&mut set, self.sizes());
        self.steps.push(Step::Create(Box::new(set.clone())));
        self.new = Some(Member { set: set.into(), replicas, planned: true });
        self.set_revision(Some(revision.to_string()));
        self.note_progress(Progress::NewReplicaSetCreated, &name);
    }

    fn set_revision(&mut self, revision: Option<String>) {
        let annotations = self.observed.deployment.metadata.annotations.as_ref();
        if let Some(revision) = revision
            && annotations.and_then(|annotations| annotations.get(REVISION)) != Some(&revision)
        {
            self.steps.push(Step::SetRevision(revision));
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes { desired: self.desired(), max: self.limits.max_total() }
    }

    /// Deletes the oldest revisions that nothing runs on, beyond `spec.revisionHistoryLimit`.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut history: Vec<&Member> =
            self.old.iter().filter(|member| member.set.metadata.deletion_timestamp.is_none()).collect();
        let surplus = history.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        history.sort_by_key(|member| annotations::revision(&member.set));
        let is_unused = |member: &&&Member| {
            let observed = member.set.status.as_ref().and_then(|status| status.observed_generation);
            member.replicas == 0
                && member.existing() == 0
                && observed.unwrap_or(0) >= member.set.metadata.generation.unwrap_or(0)
        };
        let surplus = history.iter().take(surplus).filter(is_unused);
        let deletions: Vec<Step> = surplus.map(|member| Step::Delete(member.set.clone())).collect();
        self.steps.extend(deletions);
    }
}
