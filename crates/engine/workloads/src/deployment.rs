//! Deployment: revisions of a template as ReplicaSets, and the way from one to the next.
//!
//! [`plan`] looks at a Deployment, its ReplicaSets and their pods, and says what to write next. It goes at most one
//! step of a rollout at a time (scale up, *or* scale down), as upstream's controller does: the rest follows from what
//! the ReplicaSets then report. Whatever it plans keeps
//!
//! * at least `replicas - maxUnavailable` pods available, if they were, and
//! * at most `replicas + maxSurge` pods in all.

mod annotations;
mod hash;
mod limits;
mod revision;
mod rollout;
mod scale;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use annotations::{REVISION, REVISION_HISTORY};
pub use hash::{POD_TEMPLATE_HASH, template_hash};
pub use revision::same_template;
pub use status::{after_collision, after_failed_creation};

use crate::replica_set::desired_replicas;

/// What a Deployment sees.
pub struct Observed<'a> {
    /// The Deployment, defaulted.
    pub deployment: &'a Deployment,
    /// The ReplicaSets that it controls.
    pub replica_sets: &'a [Arc<ReplicaSet>],
    /// Pods by the uid of their ReplicaSet; needed for the Recreate strategy.
    pub pods: &'a BTreeMap<String, Vec<Arc<Pod>>>,
    /// The present.
    pub now: Timestamp,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create the ReplicaSet of a new revision.
    Create(Box<ReplicaSet>),
    /// Update a ReplicaSet: its size, its annotations.
    Update {
        /// As it should be.
        replica_set: Box<ReplicaSet>,
        /// Its size before and after, if that changes.
        scaled: Option<(i32, i32)>,
    },
    /// Delete a ReplicaSet that no history needs any more.
    Delete(Arc<ReplicaSet>),
    /// Set the Deployment's `deployment.kubernetes.io/revision`.
    SetRevision(String),
}

/// What must be done, in order.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// Writes, in order; the status is written only after all succeeded.
    pub steps: Vec<Step>,
    /// The status that this amounts to; unchanged if it equals the observed one.
    pub status: DeploymentStatus,
    /// When time alone calls for another look (progress deadline).
    pub recheck: Option<Duration>,
}

impl Plan {
    /// Whether nothing is to be written for this Deployment.
    #[must_use]
    pub fn is_empty(&self, deployment: &Deployment) -> bool {
        self.steps.is_empty() && deployment.status.as_ref() == Some(&self.status)
    }
}

/// Decides the next step of a Deployment whose selector is not empty.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    let mut world = World::new(observed);
    if observed.deployment.metadata.deletion_timestamp.is_some() {
        world.find_revisions();
        return world.into_plan_of_status();
    }
    world.note_pausing();
    if world.is_paused() || world.is_being_scaled() {
        world.sync_new_revision(revision::IfMissing::Leave);
        world.scale();
        if world.is_paused() {
            world.clean_up();
        }
        return world.into_plan_of_status();
    }
    if world.limits.recreate {
        world.recreate()
    } else {
        world.roll()
    }
    world.into_plan_of_rollout()
}

/// A ReplicaSet with the size that the plan so far gives it.
#[derive(Clone, Debug)]
struct Member {
    set: Arc<ReplicaSet>,
    replicas: i32,
    /// Not in the API yet.
    planned: bool,
}

impl Member {
    fn name(&self) -> &str {
        self.set.metadata.name.as_deref().unwrap_or_default()
    }

    /// Pods that will still be available when the set has the size that it is asked to have: what a shrinking set
    /// reports may count pods that it is about to delete.
    fn available(&self) -> i32 {
        self.reported_available().min(self.replicas)
    }

    fn reported_available(&self) -> i32 {
        self.set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    fn existing(&self) -> i32 {
        self.set.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// Oldest first; sets of the same second by name.
    fn age(&self) -> (Timestamp, &str) {
        let created = self.set.metadata.creation_timestamp.as_ref();
        (created.map_or(Timestamp::MAX, |Time(time)| *time), self.name())
    }
}

/// The observed world plus the plan so far.
struct World<'a> {
    observed: &'a Observed<'a>,
    spec: &'a DeploymentSpec,
    limits: limits::Limits,
    status: DeploymentStatus,
    /// The set whose template is the Deployment's.
    new: Option<Member>,
    /// All others, oldest first.
    old: Vec<Member>,
    steps: Vec<Step>,
}

/// A Deployment without spec does not exist in the API; it is planned as the default one.
static NO_SPEC: std::sync::LazyLock<DeploymentSpec> = std::sync::LazyLock::new(DeploymentSpec::default);

impl<'a> World<'a> {
    fn new(observed: &'a Observed<'a>) -> Self {
        let spec = observed.deployment.spec.as_ref().unwrap_or(&NO_SPEC);
        let member =
            |set: &Arc<ReplicaSet>| Member { set: Arc::clone(set), replicas: desired_replicas(set), planned: false };
        let mut old: Vec<Member> = observed.replica_sets.iter().map(member).collect();
        old.sort_by(|a, b| a.age().cmp(&b.age()));
        Self {
            observed,
            spec,
            limits: limits::Limits::of(spec),
            status: observed.deployment.status.clone().unwrap_or_default(),
            new: None,
            old,
            steps: Vec::new(),
        }
    }

    fn desired(&self) -> i32 {
        self.limits.desired
    }

    fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    fn all(&self) -> impl Iterator<Item = &Member> {
        self.old.iter().chain(&self.new)
    }

    fn total_replicas(&self) -> i32 {
        self.all().map(|member| member.replicas).sum()
    }

    fn available_replicas(&self) -> i32 {
        self.all().map(Member::available).sum()
    }
}

#[cfg(test)]
mod tests;
