//! ReplicaSet: as many pods as asked for, and a status that says how they are.

mod victims;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::pod::{Availability, availability, is_active, is_terminating, refused_at};
pub use victims::rank as rank_victims;

/// Pods created or deleted by one plan at most; the rest follows in the next.
pub const BURST_REPLICAS: usize = 500;

/// How long a refusal by a node is remembered.
const REFUSALS_LAST: SignedDuration = SignedDuration::from_secs(60);
/// The longest rest after refusals.
const REST_MAX: SignedDuration = SignedDuration::from_secs(30);

/// What a ReplicaSet sees.
pub struct Observed<'a> {
    /// The set.
    pub replica_set: &'a ReplicaSet,
    /// The pods that it controls, finished and terminating ones included.
    pub pods: &'a [Arc<Pod>],
    /// Active pods of all sets with the same controller (a Deployment's revisions), itself included: surplus goes first
    /// from nodes that have most of them.
    pub related: &'a [Arc<Pod>],
    /// The present.
    pub now: Timestamp,
}

/// What must be done so that the observed pods become the desired ones.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods to create.
    pub create: usize,
    /// When to plan again, where pods are missing that are not to be created yet.
    pub wait: Option<Duration>,
    /// Pods to delete, the least useful first.
    pub delete: Vec<Arc<Pod>>,
}

impl Plan {
    /// Whether the observed is the desired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create == 0 && self.delete.is_empty()
    }
}

/// Compares active pods with `spec.replicas`. Nothing is done for a set that is being deleted.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    if observed.replica_set.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let desired = usize::try_from(desired_replicas(observed.replica_set)).unwrap_or(0);
    let active: Vec<Arc<Pod>> = observed.pods.iter().filter(|pod| is_active(pod)).cloned().collect();
    if active.len() <= desired {
        let missing = (desired - active.len()).min(BURST_REPLICAS);
        let wait = if missing > 0 { rest(observed, desired) } else { None };
        return Plan { create: if wait.is_none() { missing } else { 0 }, wait, delete: Vec::new() };
    }
    let surplus = active.len() - desired;
    let mut delete = if surplus < active.len() { rank_victims(active, observed.related, observed.now) } else { active };
    delete.truncate(surplus.min(BURST_REPLICAS));
    Plan { create: 0, wait: None, delete }
}

/// How long to wait before there are new pods, where nodes refuse them: a second once all have been refused, twice as
/// long after each further round. Without it, pods that name a node they do not fit would be made without an end.
fn rest(observed: &Observed<'_>, desired: usize) -> Option<Duration> {
    let age = |at: Timestamp| observed.now.duration_since(at);
    let recent: Vec<_> =
        observed.pods.iter().filter_map(|pod| refused_at(pod)).map(age).filter(|age| *age < REFUSALS_LAST).collect();
    let rounds = u32::try_from(recent.len() / desired.max(1)).unwrap_or(u32::MAX);
    let doublings = rounds.checked_sub(1)?.min(8);
    let rest = SignedDuration::from_secs(1 << doublings).min(REST_MAX);
    let left = rest - recent.into_iter().min()?;
    left.is_positive().then(|| left.unsigned_abs())
}

/// `spec.replicas`, 1 where it is absent.
#[must_use]
pub fn desired_replicas(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Why pods could not be created or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `FailedCreate`, with the API's message.
    Create(String),
    /// `FailedDelete`, with the API's message.
    Delete(String),
}

/// The status that the pods amount to, and when time alone will change it.
#[must_use]
pub fn status(observed: &Observed<'_>, failure: Option<&Failure>) -> (ReplicaSetStatus, Option<Duration>) {
    let set = observed.replica_set;
    let spec = set.spec.as_ref();
    let min_ready_seconds = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let template_labels =
        spec.and_then(|spec| spec.template.as_ref()).and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    let has_all_labels = |pod: &Pod| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .into_iter()
            .flatten()
            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let (mut replicas, mut labeled, mut ready, mut available, mut terminating) = (0, 0, 0, 0, 0);
    let mut recheck: Option<Duration> = None;
    for pod in observed.pods {
        terminating += i32::from(is_terminating(pod));
        if !is_active(pod) {
            continue;
        }
        replicas += 1;
        labeled += i32::from(has_all_labels(pod));
        match availability(pod, min_ready_seconds, observed.now) {
            Availability::Available => (ready, available) = (ready + 1, available + 1),
            Availability::After(wait) => {
                ready += 1;
                recheck = Some(recheck.map_or(wait, |sooner| sooner.min(wait)));
            }
            Availability::Unavailable => {}
        }
    }
    let status = ReplicaSetStatus {
        replicas,
        fully_labeled_replicas: Some(labeled).filter(|count| *count > 0),
        ready_replicas: Some(ready).filter(|count| *count > 0),
        available_replicas: Some(available).filter(|count| *count > 0),
        terminating_replicas: Some(terminating),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure, observed.now),
    };
    (status, recheck)
}

fn conditions(set: &ReplicaSet, failure: Option<&Failure>, now: Timestamp) -> Option<Vec<ReplicaSetCondition>> {
    let current = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let failing = current.iter().find(|condition| condition.type_ == "ReplicaFailure");
    let renewed = failure.map(|failure| {
        let (reason, message) = match failure {
            Failure::Create(message) => ("FailedCreate", message),
            Failure::Delete(message) => ("FailedDelete", message),
        };
        failing.cloned().unwrap_or_else(|| ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.clone()),
            last_transition_time: Some(Time(now)),
        })
    });
    let others = current.iter().filter(|condition| condition.type_ != "ReplicaFailure").cloned();
    let all: Vec<_> = others.chain(renewed).collect();
    (!all.is_empty()).then_some(all)
}

/// A new pod of a workload: the template's, named and owned by the controller.
#[must_use]
pub fn pod_from_template(template: &PodTemplateSpec, namespace: &str, owner: OwnerReference) -> Pod {
    let metadata = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: Some(namespace.to_owned()),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Sizes of the batches in which `count` new objects are tried: 1, 2, 4 …, so that a template which the API refuses
/// costs few requests. Stop at the first batch with a failure.
pub fn slow_start(count: usize) -> impl Iterator<Item = usize> {
    let mut rest = count;
    let mut batch = 1;
    std::iter::from_fn(move || {
        let size = batch.min(rest);
        rest -= size;
        batch *= 2;
        (size > 0).then_some(size)
    })
}

#[cfg(test)]
mod tests;
