//! CronJob: a Job at every time that a schedule names.
//!
//! [`plan`] looks at the CronJob, the Jobs that it controls and the time. Names of Jobs follow from the time they are
//! due, so that a Job that was made before a crash is found again and not made twice.

mod active;
mod missed;

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use minato_cron::{Schedule, time_zone};

use crate::job::{Event, is_true};
use crate::ownership::controller_reference;
use active::{forget, forget_finished, is_active, is_active_by_name};
use missed::due;

/// The annotation of a Job with the time it was due, in the CronJob's time zone.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// How long after the moment itself a look is taken, so that the moment is past for any clock.
const AFTER_DUE: Duration = Duration::from_millis(100);

/// What a CronJob sees.
pub struct Observed<'a> {
    /// The CronJob.
    pub cron_job: &'a CronJob,
    /// The Jobs that it controls.
    pub jobs: &'a [Arc<Job>],
    /// The present.
    pub now: Timestamp,
}

/// What must be done now.
#[derive(Debug, Default)]
pub struct Plan {
    /// The status, before a Job is started.
    pub status: CronJobStatus,
    /// Finished Jobs beyond the history's limits.
    pub surplus: Vec<Arc<Job>>,
    /// The Job that is due.
    pub start: Option<Start>,
    /// What there is to tell.
    pub events: Vec<Event>,
    /// When the next Job is due; none for a CronJob that waits for a change of its own.
    pub wait: Option<Duration>,
}

/// A Job to be started.
#[derive(Debug)]
pub struct Start {
    /// The Job.
    pub job: Job,
    /// When it was due.
    pub due: Timestamp,
    /// Active Jobs that it replaces: to be deleted before.
    pub replaces: Vec<ObjectReference>,
}

/// Whether the Job ended well, badly, or not yet.
fn outcome(job: &Job) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|kind| is_true(job, kind))
}

/// Compares what runs with what is due.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    let cron_job = observed.cron_job;
    let mut plan =
        Plan { status: cron_job.status.clone().unwrap_or_default(), surplus: surplus(observed), ..Plan::default() };
    // A finished Job that goes with the history is not active any more, whatever becomes of it.
    plan.surplus.iter().for_each(|job| forget(&mut plan.status, job.metadata.uid.as_deref()));
    forget_finished(observed, &mut plan);
    if cron_job.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let zone_name = cron_job.spec.time_zone.as_deref().unwrap_or_default();
    let Some(zone) = time_zone(zone_name) else {
        let message = format!("invalid timeZone: {zone_name:?}: unknown time zone {zone_name}");
        plan.events.push(Event::warning("UnknownTimeZone", &message));
        return plan;
    };
    if cron_job.spec.suspend == Some(true) {
        return plan;
    }
    let text = cron_job.spec.schedule.as_str();
    match Schedule::parse(text) {
        Ok(schedule) => start(observed, &schedule, &zone, &mut plan),
        Err(error) => {
            let message = format!("unparseable schedule: {text:?} : {error}");
            plan.events.push(Event::warning("UnparseableSchedule", &message));
        }
    }
    plan
}

fn start(observed: &Observed<'_>, schedule: &Schedule, zone: &TimeZone, plan: &mut Plan) {
    let (cron_job, now) = (observed.cron_job, observed.now);
    let due = due(cron_job, schedule, zone, now);
    plan.events.extend(due.event);
    plan.wait = due.next.map(|next| crate::pod::elapsed(now, next) + AFTER_DUE);
    let Some(at) = due.last else { return };
    let deadline = cron_job.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| at.checked_add(deadline).is_ok_and(|latest| latest < now)) {
        let at = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
        plan.events.push(Event::warning("MissSchedule", &format!("Missed scheduled time to start a job: {at}")));
        return;
    }
    let name = job_name(cron_job, at);
    if is_active_by_name(&plan.status, &name) || plan.status.last_schedule_time == Some(Time(at)) {
        return; // it was started already
    }
    let active = plan.status.active.clone().unwrap_or_default();
    let mut replaces = Vec::new();
    match cron_job.spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.events.push(Event::normal("JobAlreadyActive", message));
            return;
        }
        Some("Replace") => replaces = active,
        _ => {}
    }
    plan.start = Some(Start { job: job_for(cron_job, name, at, zone), due: at, replaces });
}

/// Follows from the minute at which the Job is due.
fn job_name(cron_job: &CronJob, due: Timestamp) -> String {
    format!("{}-{}", cron_job.metadata.name.as_deref().unwrap_or_default(), due.as_second() / 60)
}

fn job_for(cron_job: &CronJob, name: String, due: Timestamp, zone: &TimeZone) -> Job {
    let template = &cron_job.spec.job_template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    let local = due.to_zoned(zone.clone());
    let offset = if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    annotations.insert(SCHEDULED.to_owned(), local.strftime(offset).to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron_job.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference("batch/v1", "CronJob", &cron_job.metadata)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The oldest finished Jobs beyond what the history keeps, of those that ended well and of those that did not.
fn surplus(observed: &Observed<'_>) -> Vec<Arc<Job>> {
    let spec = &observed.cron_job.spec;
    let limits = [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    let mut surplus = Vec::new();
    for (kind, limit) in limits {
        let Some(limit) = limit else { continue };
        let mut jobs: Vec<&Arc<Job>> = observed.jobs.iter().filter(|job| outcome(job) == Some(kind)).collect();
        jobs.sort_by_key(|job| {
            let start = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
            (start.is_none(), start, job.metadata.name.clone())
        });
        let kept = usize::try_from(limit).unwrap_or(0);
        let gone = jobs.len().saturating_sub(kept);
        surplus.extend(jobs.into_iter().take(gone).cloned());
    }
    surplus
}

/// Writes down that the Job runs which was due at that time. Nothing changes if that is known.
pub fn started(status: &mut CronJobStatus, job: &Job, due: Timestamp) {
    if is_active(status, job.metadata.uid.as_deref()) {
        return;
    }
    status.active.get_or_insert_default().push(ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: job.metadata.namespace.clone(),
        name: job.metadata.name.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    });
    status.last_schedule_time = Some(Time(due));
}

/// Writes down that the Job is gone.
pub fn replaced(status: &mut CronJobStatus, job: &ObjectReference) {
    forget(status, job.uid.as_deref());
}

#[cfg(test)]
mod tests;
