//! Job: pods that run until enough of them have succeeded, each counted exactly once.
//!
//! A finished pod is counted in three durable steps, so that neither a crash nor a repetition counts it twice:
//!
//! 1. its uid goes to `status.uncountedTerminatedPods` (of an indexed Job's successes, the index to `completedIndexes`);
//! 2. its finalizer `batch.kubernetes.io/job-tracking` is removed, so that it may be deleted by anyone;
//! 3. the uid leaves the status and the counter grows, in one write.
//!
//! [`plan`] says which pods to make and end, [`report`] which status to write, and which finalizers may go after that.
//! Both look at the present alone: repeat them until nothing changes.

mod accounting;
mod backoff;
mod conditions;
mod failure_policy;
mod indexes;
mod pod;
mod verdict;
mod view;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;

use crate::pod::{elapsed, is_terminating};
use crate::replica_set::rank_victims;
pub use accounting::{Report, report};
pub use backoff::Backoff;
pub use conditions::{Event, is_finished, is_suspended, is_true};
pub use indexes::Indexes;
use pod::new_pod;
pub use pod::{COMPLETION_INDEX, NewPod, TRACKING, has_tracking_finalizer, pod_for};
use view::View;

/// Pods created or deleted by one plan at most; the rest follows in the next.
pub const BURST_PODS: usize = 500;
/// The value of `spec.managedBy` by which a Job is this controller's, as if there were none.
pub const CONTROLLER: &str = "kubernetes.io/job-controller";

/// What a Job sees.
pub struct Observed<'a> {
    /// The Job.
    pub job: &'a Job,
    /// The pods that it controls, finished and terminating ones included.
    pub pods: &'a [Arc<Pod>],
    /// What is remembered of its failures.
    pub backoff: &'a Backoff,
    /// The present.
    pub now: Timestamp,
}

/// What must be done with the Job's pods.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods to make.
    pub create: Vec<NewPod>,
    /// Pods to end.
    pub delete: Vec<Arc<Pod>>,
    /// Whether the ended pods count as failures, because the Job is over. Those that a suspended or shrunk Job ends do
    /// not: they lose their finalizer before.
    pub counted: bool,
    /// When more pods may be made: back-off after failures.
    pub wait: Option<Duration>,
}

/// Whether another controller looks after this Job.
#[must_use]
pub fn is_managed_elsewhere(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref()).is_some_and(|manager| manager != CONTROLLER)
}

/// Compares active pods with those the Job wants now. Nothing is done for a Job that is finished.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    let Some(view) = View::of(observed).filter(|_| !is_finished(observed.job)) else { return Plan::default() };
    if view.verdict().is_some() {
        return Plan { delete: view.active, counted: true, ..Plan::default() };
    }
    if observed.job.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    if view.is_suspended() {
        return Plan { delete: view.active, ..Plan::default() };
    }
    let wanted = wanted(&view);
    let surplus = victims(&view, view.active.len().saturating_sub(wanted));
    if !surplus.is_empty() {
        return Plan { delete: surplus, ..Plan::default() };
    }
    let waiting_for = match view.replaces_failed_only() {
        true => observed.pods.iter().filter(|pod| is_terminating(pod)).count(),
        false => 0,
    };
    let missing = wanted.saturating_sub(view.active.len()).saturating_sub(waiting_for);
    create(&view, missing.min(BURST_PODS))
}

/// How many pods should run now.
fn wanted(view: &View<'_>) -> usize {
    let parallelism = view.spec.parallelism.unwrap_or(1);
    let wanted = match view.spec.completions {
        // Any success says that the work is done: what runs may end, nothing is started.
        None if view.succeeded > 0 => return view.active.len(),
        None => parallelism,
        Some(completions) => completions.saturating_sub(view.succeeded).min(parallelism),
    };
    usize::try_from(wanted).unwrap_or(0)
}

/// Pods that are one too many: of an indexed Job those without a valid index and doubles of an index; then, to reach
/// `at_least`, those who would be missed least.
fn victims(view: &View<'_>, at_least: usize) -> Vec<Arc<Pod>> {
    let now = view.observed.now;
    let (mut victims, mut left) = (Vec::new(), Vec::new());
    if view.is_indexed() {
        for (index, mut pods) in view.active_by_index() {
            if view.is_valid(index) {
                pods = rank_victims(pods, &[], now);
                left.extend(pods.pop());
            }
            victims.extend(pods);
        }
    } else if at_least > 0 {
        left.clone_from(&view.active);
    }
    if victims.len() < at_least {
        let more = at_least - victims.len();
        victims.extend(rank_victims(left, &[], now).into_iter().take(more));
    }
    victims.truncate(BURST_PODS);
    victims
}

fn create(view: &View<'_>, missing: usize) -> Plan {
    let now = view.observed.now;
    let mut plan = Plan::default();
    if missing == 0 {
        return plan;
    }
    if !view.has_limit_per_index() {
        plan.wait = view.backoff.remaining(now);
        if plan.wait.is_some() {
            return plan;
        }
    }
    if !view.is_indexed() {
        plan.create = vec![NewPod::default(); missing];
        return plan;
    }
    for index in view.pending_indexes(missing) {
        let replaced = view.delayed.get(&index);
        let wait =
            replaced.filter(|_| view.has_limit_per_index()).and_then(|pod| backoff::remaining_of_index(pod, now));
        match wait {
            Some(wait) => plan.wait = Some(plan.wait.map_or(wait, |sooner| sooner.min(wait))),
            None => plan.create.push(new_pod(view.spec, index, replaced.map(|pod| &**pod))),
        }
    }
    plan
}

/// The time that `spec.activeDeadlineSeconds` leaves to a running Job; none if it has no deadline, zero if it is past.
fn deadline(spec: &JobSpec, start: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let allowed = Duration::from_secs(u64::try_from(spec.active_deadline_seconds?).unwrap_or(0));
    Some(allowed.saturating_sub(elapsed(start?, now))).filter(|_| spec.suspend != Some(true))
}

/// How long a finished Job may stay; none while it runs and for Jobs that stay, zero when its time is over.
#[must_use]
pub fn time_to_live(job: &Job, now: Timestamp) -> Option<Duration> {
    let allowed = u64::try_from(job.spec.as_ref()?.ttl_seconds_after_finished?).ok()?;
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    let end = ["Complete", "Failed"].iter().find_map(|kind| conditions::find_true(conditions, kind))?;
    let finished = end.last_transition_time.as_ref().map(|time| time.0)?;
    Some(Duration::from_secs(allowed).saturating_sub(elapsed(finished, now)))
}

#[cfg(test)]
mod tests;
