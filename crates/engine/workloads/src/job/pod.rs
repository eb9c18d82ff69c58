//! The pods of a Job: what tells them apart, and how they are made.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::failure_policy::{Meaning, meaning};
use crate::ownership::controller_reference;
use crate::replica_set::pod_from_template;

/// The finalizer that keeps a pod until it is counted.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The annotation, and label, with the index of an indexed Job's pod.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often the pod's index has failed before; and how often that was ignored.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

const COMPLETION_INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// The API generates names from as many bytes at most.
const GENERATE_NAME_BYTES_MAX: usize = 58;

/// A pod to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPod {
    /// Its index, if the Job is indexed.
    pub index: Option<i32>,
    /// Failures of its index, counted and ignored, if they are limited.
    pub failures: Option<(i32, i32)>,
}

/// Whether the pod is still to be counted.
#[must_use]
pub fn has_tracking_finalizer(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

/// The index that the pod's annotation says.
pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    let text = pod.metadata.annotations.as_ref()?.get(COMPLETION_INDEX)?;
    text.parse().ok().filter(|index| *index >= 0)
}

/// The number that an annotation says; 0 for none.
pub(super) fn count_in(pod: &Pod, annotation: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(annotation));
    text.and_then(|text| text.parse().ok()).filter(|count| *count >= 0).unwrap_or(0)
}

/// The pod of an index, in the place of one that failed.
pub(super) fn new_pod(spec: &JobSpec, index: i32, replaced: Option<&Pod>) -> NewPod {
    let failures = spec.backoff_limit_per_index.map(|_| {
        let Some(replaced) = replaced else { return (0, 0) };
        let (counted, ignored) = (count_in(replaced, FAILURES), count_in(replaced, IGNORED_FAILURES));
        match meaning(spec.pod_failure_policy.as_ref(), replaced) {
            Meaning::Ignore => (counted, ignored.saturating_add(1)),
            _ => (counted.saturating_add(1), ignored),
        }
    });
    NewPod { index: Some(index), failures }
}

/// The object to be created.
#[must_use]
pub fn pod_for(job: &Job, new: &NewPod) -> Pod {
    let owner = controller_reference("batch/v1", "Job", &job.metadata);
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pod_from_template(&template, job.metadata.namespace.as_deref().unwrap_or_default(), owner);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    if let Some(index) = new.index {
        give_index(&mut pod, job.metadata.name.as_deref().unwrap_or_default(), index);
    }
    if let Some((counted, ignored)) = new.failures {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
    pod
}

fn give_index(pod: &mut Pod, job: &str, index: i32) {
    let tag = |map: &mut Option<BTreeMap<String, String>>| {
        map.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), index.to_string());
    };
    tag(&mut pod.metadata.annotations);
    tag(&mut pod.metadata.labels);
    let suffix = format!("-{index}-");
    let room = GENERATE_NAME_BYTES_MAX.saturating_sub(suffix.len());
    let start = job.get(..room).unwrap_or(job); // names are ASCII
    pod.metadata.generate_name = Some(format!("{start}{suffix}"));
    if let Some(spec) = &mut pod.spec {
        spec.hostname = Some(format!("{job}-{index}"));
        spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(tell_index);
    }
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == COMPLETION_INDEX_ENV) {
        return;
    }
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{COMPLETION_INDEX}']"), api_version: None };
    env.push(EnvVar {
        name: COMPLETION_INDEX_ENV.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        value: None,
    });
}
