//! The status that a Job's pods amount to, and which of them have been counted.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::Backoff;
use super::conditions::{Event, ensure, find_true};
use super::failure_policy::Meaning;
use super::pod::{has_tracking_finalizer, index_of};
use super::verdict::Verdict;
use super::view::{View, uid};
use super::{Observed, deadline, is_finished};
use crate::pod::{is_ready, is_terminating, phase};

/// Pods that one status names as uncounted at most; the rest follows.
const UNCOUNTED_MAX: usize = 500;

/// What is to be written about a Job.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// The status, to be written first if it differs from the present one.
    pub status: JobStatus,
    /// Pods whose finalizer goes once that status is written. Then look again.
    pub release: Vec<Arc<Pod>>,
    /// To be told once the status is written.
    pub events: Vec<Event>,
    /// To be remembered once the status is written.
    pub backoff: Backoff,
    /// When time alone will change something.
    pub recheck: Option<Duration>,
}

impl Report {
    /// Whether the status says something new of `job`.
    #[must_use]
    pub fn changes(&self, job: &Job) -> bool {
        let without_nothing = |status: &JobStatus| {
            let mut status = status.clone();
            status.uncounted_terminated_pods.get_or_insert_default();
            status
        };
        let present = job.status.clone().unwrap_or_default();
        without_nothing(&self.status) != without_nothing(&present)
    }
}

/// Counts what has finished and says how the Job is. Of a finished Job only the finalizers of its pods are left to do.
#[must_use]
pub fn report(observed: &Observed<'_>) -> Report {
    let tracked = || observed.pods.iter().filter(|pod| has_tracking_finalizer(pod));
    let Some(view) = View::of(observed) else { return Report::default() };
    if is_finished(observed.job) {
        let release = tracked().cloned().collect();
        return Report { status: view.status, release, backoff: Backoff::default(), ..Report::default() };
    }
    let mut report = Report { status: view.status.clone(), backoff: view.backoff.clone(), ..Report::default() };
    let status = &mut report.status;
    let count = |filter: &dyn Fn(&Pod) -> bool, pods: &[Arc<Pod>]| {
        i32::try_from(pods.iter().filter(|pod| filter(pod)).count()).unwrap_or(i32::MAX)
    };
    status.active = positive(count(&|_| true, &view.active));
    status.ready = Some(count(&is_ready, &view.active));
    status.terminating = Some(count(&is_terminating, observed.pods));
    if status.start_time.is_none() && !view.is_suspended() {
        status.start_time = Some(Time(observed.now));
    }
    settle(status, &tracked().map(|pod| uid(pod)).collect());

    let mut verdict = view.verdict();
    if verdict.is_some() {
        verdict = verdict.filter(|_| view.active.is_empty()); // those must be ended before
    } else if view.is_complete() {
        verdict = Some(Verdict::complete());
    } else if observed.job.metadata.deletion_timestamp.is_none() {
        report.events.extend(suspend_or_resume(&view, status));
    }
    let more = count_finished(&view, verdict.as_ref(), &mut report);
    if let Some(verdict) = verdict {
        decide(&view, &verdict, &mut report, more);
    } else {
        report.recheck = deadline(view.spec, report.status.start_time.as_ref().map(|time| time.0), observed.now);
    }
    report
}

fn positive(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count > 0)
}

/// Uncounted pods that have no finalizer any more become numbers.
fn settle(status: &mut JobStatus, tracked: &HashSet<&str>) {
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    for (uids, counter) in
        [(&mut uncounted.succeeded, &mut status.succeeded), (&mut uncounted.failed, &mut status.failed)]
    {
        let known = uids.take().unwrap_or_default();
        let before = known.len();
        let left: Vec<String> = known.into_iter().filter(|uid| tracked.contains(uid.as_str())).collect();
        let settled = i32::try_from(before - left.len()).unwrap_or(i32::MAX);
        *counter = positive(counter.unwrap_or(0).saturating_add(settled));
        *uids = Some(left).filter(|left| !left.is_empty());
    }
}

/// Tells that a Job stopped or goes on; resuming it starts its time anew.
fn suspend_or_resume(view: &View<'_>, status: &mut JobStatus) -> Option<Event> {
    let now = view.observed.now;
    let conditions = status.conditions.get_or_insert_default();
    let event = if view.is_suspended() {
        let changed = ensure(conditions, "Suspended", true, ("JobSuspended", "Job suspended"), now);
        changed.then(|| Event::normal("Suspended", "Job suspended"))
    } else {
        let changed = ensure(conditions, "Suspended", false, ("JobResumed", "Job resumed"), now);
        if changed {
            status.start_time = Some(Time(now));
        }
        changed.then(|| Event::normal("Resumed", "Job resumed"))
    };
    status.conditions = status.conditions.take().filter(|conditions| !conditions.is_empty());
    event
}

/// Names in the status what finished, and in the report what may lose its finalizer. Returns whether some had to be left
/// for the next time.
fn count_finished(view: &View<'_>, verdict: Option<&Verdict>, report: &mut Report) -> bool {
    let status = &mut report.status;
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    let (mut succeeded, mut failed) =
        (uncounted.succeeded.take().unwrap_or_default(), uncounted.failed.take().unwrap_or_default());
    let (known_succeeded, known_failed): (HashSet<String>, HashSet<String>) =
        (succeeded.iter().cloned().collect(), failed.iter().cloned().collect());
    let mut completed = view.completed_before.clone();
    let mut indexes = 0;
    let mut more = false;
    let mut pods: Vec<&Arc<Pod>> = view.observed.pods.iter().filter(|pod| has_tracking_finalizer(pod)).collect();
    if view.is_indexed() {
        pods.sort_by_key(|pod| index_of(pod)); // so that completed indexes grow from below
    }
    for pod in pods {
        if !may_release(view, verdict, pod) {
            continue;
        }
        if indexes + succeeded.len() + failed.len() >= UNCOUNTED_MAX {
            more = true;
            break;
        }
        report.release.push(Arc::clone(pod));
        let (uid, index) = (uid(pod), index_of(pod));
        let counts = !view.is_indexed() || view.is_valid(index);
        if phase(pod) == "Succeeded" && !known_failed.contains(uid) {
            if !view.is_indexed() {
                if !known_succeeded.contains(uid) {
                    succeeded.push(uid.to_owned());
                }
            } else if let Some(index) = index.filter(|index| counts && !completed.contains(*index)) {
                completed.insert(index);
                indexes += 1;
            }
        } else if (view.is_failed(pod) || verdict.is_some_and(|verdict| !verdict.succeeded))
            && counts
            && !known_failed.contains(uid)
            && view.meaning(pod) != Meaning::Ignore
        {
            failed.push(uid.to_owned());
        }
    }
    uncounted.succeeded = Some(succeeded).filter(|uids| !uids.is_empty());
    uncounted.failed = Some(failed).filter(|uids| !uids.is_empty());
    if view.is_indexed() {
        status.succeeded = positive(completed.total());
        status.completed_indexes = Some(completed.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = view.failed_indexes.as_ref().map(ToString::to_string);
    }
    more
}

fn may_release(view: &View<'_>, verdict: Option<&Verdict>, pod: &Pod) -> bool {
    let over = view.observed.job.metadata.deletion_timestamp.is_some() || verdict.is_some();
    if over || phase(pod) == "Succeeded" {
        return true;
    }
    let replaced_later = || {
        let waiting = index_of(pod).and_then(|index| view.delayed.get(&index));
        waiting.is_some_and(|waiting| uid(waiting) == uid(pod))
    };
    view.is_failed(pod) && !replaced_later()
}

/// Says how the Job ends: first that it will, and when every pod is counted and gone to its end, that it has.
fn decide(view: &View<'_>, verdict: &Verdict, report: &mut Report, more: bool) {
    let now = view.observed.now;
    let because = (verdict.reason.as_str(), verdict.message.as_str());
    let status = &mut report.status;
    let conditions = status.conditions.get_or_insert_default();
    let (interim, terminal) =
        if verdict.succeeded { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
    if find_true(conditions, interim).is_none() {
        ensure(conditions, interim, true, because, now);
    }
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let open = more
        || !report.release.is_empty()
        || uncounted.succeeded.is_some()
        || uncounted.failed.is_some()
        || status.terminating.is_some_and(|terminating| terminating > 0);
    if open {
        return;
    }
    ensure(conditions, terminal, true, because, now);
    if verdict.succeeded {
        status.completion_time = Some(Time(now));
        if view.spec.completions.is_some_and(|completions| status.succeeded.unwrap_or(0) > completions) {
            report.events.push(Event::warning("TooManySucceededPods", "Too many succeeded pods"));
        }
        report.events.push(Event::normal("Completed", "Job completed"));
    } else {
        report.events.push(Event::warning(because.0, because.1));
    }
}
