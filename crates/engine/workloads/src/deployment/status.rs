//! What a Deployment reports: counts and the conditions Available, Progressing, ReplicaFailure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Member, Plan, World};
use crate::pod::elapsed;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Why the Progressing condition is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Paused,
    Resumed,
    FoundNewReplicaSet,
    NewReplicaSetCreated,
    FailedCreate,
    ReplicaSetUpdated,
    NewReplicaSetAvailable,
    DeadlineExceeded,
}

impl Progress {
    fn reason(self) -> &'static str {
        match self {
            Self::Paused => "DeploymentPaused",
            Self::Resumed => "DeploymentResumed",
            Self::FoundNewReplicaSet => "FoundNewReplicaSet",
            Self::NewReplicaSetCreated => "NewReplicaSetCreated",
            Self::FailedCreate => "ReplicaSetCreateError",
            Self::ReplicaSetUpdated => "ReplicaSetUpdated",
            Self::NewReplicaSetAvailable => "NewReplicaSetAvailable",
            Self::DeadlineExceeded => "ProgressDeadlineExceeded",
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Paused | Self::Resumed => "Unknown",
            Self::FailedCreate | Self::DeadlineExceeded => "False",
            _ => "True",
        }
    }

    fn is_reason_of(self, condition: &DeploymentCondition) -> bool {
        condition.reason.as_deref() == Some(self.reason())
    }
}

/// The status to write when a new ReplicaSet's name was taken by another: the next try gets another hash.
#[must_use]
pub fn after_collision(deployment: &Deployment) -> DeploymentStatus {
    let mut status = deployment.status.clone().unwrap_or_default();
    status.collision_count = Some(status.collision_count.unwrap_or(0).saturating_add(1));
    status
}

/// The status to write when the API refused the new ReplicaSet of that name.
#[must_use]
pub fn after_failed_creation(deployment: &Deployment, name: &str, error: &str, now: Timestamp) -> DeploymentStatus {
    let mut status = deployment.status.clone().unwrap_or_default();
    if deployment.spec.as_ref().is_some_and(|spec| deadline(spec.progress_deadline_seconds).is_some()) {
        let message = format!("Failed to create new replica set \"{name}\": {error}");
        set(&mut status, progressing(Progress::FailedCreate, message, now));
    }
    status
}

fn deadline(seconds: Option<i32>) -> Option<Duration> {
    let seconds = seconds.filter(|seconds| *seconds != i32::MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Sets a condition; one of the same status and reason stays as it is, and the transition time moves only with the
/// status.
fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(found) = find(status, &condition.type_) {
        if found.status == condition.status && found.reason == condition.reason {
            return;
        }
        if found.status == condition.status {
            condition.last_transition_time = found.last_transition_time.clone();
        }
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(now)),
        last_update_time: Some(Time(now)),
    }
}

fn progressing(progress: Progress, message: String, now: Timestamp) -> DeploymentCondition {
    condition(PROGRESSING, progress.status(), progress.reason(), message, now)
}

impl World<'_> {
    fn deadline(&self) -> Option<Duration> {
        deadline(self.spec.progress_deadline_seconds)
    }

    /// Notes that the Deployment was paused or resumed, so that the deadline's clock stands still meanwhile.
    pub(super) fn note_pausing(&mut self) {
        if self.deadline().is_none() {
            return;
        }
        let current = find(&self.status, PROGRESSING);
        let noted = current.is_some_and(|condition| Progress::Paused.is_reason_of(condition));
        if current.is_some_and(|condition| Progress::DeadlineExceeded.is_reason_of(condition)) {
            return;
        }
        match (self.is_paused(), noted) {
            (true, false) => self.set_progress(Progress::Paused, "Deployment is paused".to_owned()),
            (false, true) => self.set_progress(Progress::Resumed, "Deployment is resumed".to_owned()),
            _ => {}
        }
    }

    fn set_progress(&mut self, progress: Progress, message: String) {
        set(&mut self.status, progressing(progress, message, self.observed.now));
    }

    /// Notes the making of a new set of that name.
    pub(super) fn note_progress(&mut self, progress: Progress, name: &str) {
        if self.deadline().is_some() {
            let verb = if progress == Progress::NewReplicaSetCreated { "Created" } else { "Found" };
            self.set_progress(progress, format!("{verb} new replica set \"{name}\""));
        }
    }

    pub(super) fn note_progress_if_unknown(&mut self, progress: Progress, name: &str) {
        if find(&self.status, PROGRESSING).is_none() {
            self.note_progress(progress, name);
        }
    }

    /// Whether all pods are new and available.
    pub(super) fn is_complete(&self) -> bool {
        self.counts_are_complete(&self.counted())
    }

    fn counts_are_complete(&self, status: &DeploymentStatus) -> bool {
        let desired = Some(self.desired());
        let or_zero = |count: Option<i32>| Some(count.unwrap_or(0));
        or_zero(status.updated_replicas) == desired
            && or_zero(status.replicas) == desired
            && or_zero(status.available_replicas) == desired
    }

    /// The status with fresh counts and the Available condition.
    fn counted(&self) -> DeploymentStatus {
        let sum = |count: fn(&Member) -> i32| Some(self.all().map(count).sum::<i32>());
        let positive = |count: Option<i32>| count.filter(|count| *count > 0);
        let available: i32 = self.all().map(Member::reported_available).sum();
        let terminating =
            |member: &Member| member.set.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or(0);
        let mut status = DeploymentStatus {
            observed_generation: self.observed.deployment.metadata.generation,
            replicas: positive(sum(Member::existing)),
            updated_replicas: positive(self.new.as_ref().map(Member::existing)),
            ready_replicas: positive(sum(|member| {
                member.set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
            })),
            available_replicas: positive(Some(available)),
            unavailable_replicas: positive(Some(self.total_replicas() - available)),
            terminating_replicas: sum(terminating),
            collision_count: self.status.collision_count,
            conditions: self.status.conditions.clone(),
        };
        let now = self.observed.now;
        set(
            &mut status,
            if available >= self.limits.min_available() {
                condition(
                    AVAILABLE,
                    "True",
                    "MinimumReplicasAvailable",
                    "Deployment has minimum availability.".to_owned(),
                    now,
                )
            } else {
                let message = "Deployment does not have minimum availability.".to_owned();
                condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)
            },
        );
        status
    }

    /// The plan of a Deployment that only scales, is paused, or goes: progress is not judged.
    pub(super) fn into_plan_of_status(self) -> Plan {
        Plan { status: self.counted(), steps: self.steps, recheck: None }
    }

    /// The plan of a Deployment under rollout: progress is judged against the deadline.
    pub(super) fn into_plan_of_rollout(self) -> Plan {
        let mut status = self.counted();
        let now = self.observed.now;
        let subject = match &self.new {
            Some(new) => format!("ReplicaSet \"{}\"", new.name()),
            None => format!("Deployment \"{}\"", self.observed.deployment.metadata.name.as_deref().unwrap_or_default()),
        };
        let current = find(&self.status, PROGRESSING).cloned();
        let was_complete = status.replicas == status.updated_replicas
            && current.as_ref().is_some_and(|current| Progress::NewReplicaSetAvailable.is_reason_of(current));
        let mut recheck = None;
        match self.deadline() {
            None => remove(&mut status, PROGRESSING),
            Some(_) if was_complete => {}
            Some(deadline) => {
                let left = current.as_ref().and_then(|current| time_left(current, deadline, now));
                if self.counts_are_complete(&status) {
                    let message = format!("{subject} has successfully progressed.");
                    set(&mut status, progressing(Progress::NewReplicaSetAvailable, message, now));
                } else if self.has_progressed(&status) {
                    // Renewed each time: the deadline counts from the last progress.
                    let mut renewed =
                        progressing(Progress::ReplicaSetUpdated, format!("{subject} is progressing."), now);
                    if let Some(current) = current.as_ref().filter(|current| current.status == "True") {
                        renewed.last_transition_time = current.last_transition_time.clone();
                    }
                    remove(&mut status, PROGRESSING);
                    set(&mut status, renewed);
                    recheck = Some(deadline);
                } else if left == Some(Duration::ZERO) {
                    let message = format!("{subject} has timed out progressing.");
                    set(&mut status, progressing(Progress::DeadlineExceeded, message, now));
                } else {
                    recheck = left.or(current.is_none().then_some(deadline));
                }
            }
        }
        match self.replica_failure() {
            Some(failure) => set(&mut status, failure),
            None => remove(&mut status, REPLICA_FAILURE),
        }
        status.conditions = status.conditions.filter(|conditions| !conditions.is_empty());
        // A second more, because conditions carry whole seconds.
        Plan { status, steps: self.steps, recheck: recheck.map(|wait| wait + Duration::from_secs(1)) }
    }

    /// Whether more pods are new, ready or available, or fewer are old, than at the last report.
    fn has_progressed(&self, status: &DeploymentStatus) -> bool {
        let before = &self.status;
        let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
        status.updated_replicas > before.updated_replicas
            || old(status) < old(before)
            || status.ready_replicas > before.ready_replicas
            || status.available_replicas > before.available_replicas
    }

    /// The ReplicaFailure condition of the new set, else of any old one.
    fn replica_failure(&self) -> Option<DeploymentCondition> {
        self.new.iter().chain(&self.old).find_map(|member| {
            let conditions = member.set.status.as_ref()?.conditions.as_ref()?;
            let failure = conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE)?;
            Some(DeploymentCondition {
                type_: failure.type_.clone(),
                status: failure.status.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                last_transition_time: failure.last_transition_time.clone(),
                last_update_time: failure.last_transition_time.clone(),
            })
        })
    }
}

/// What is left of the deadline since the last progress; none where the clock does not run.
fn time_left(current: &DeploymentCondition, deadline: Duration, now: Timestamp) -> Option<Duration> {
    if Progress::NewReplicaSetAvailable.is_reason_of(current) {
        return None;
    }
    if Progress::DeadlineExceeded.is_reason_of(current) {
        return Some(Duration::ZERO);
    }
    let Some(Time(since)) = &current.last_update_time else { return Some(deadline) };
    Some(deadline.saturating_sub(elapsed(*since, now)))
}
