//! `status.active`: Jobs that were started and have not finished.

use k8s_openapi::api::batch::v1::CronJobStatus;

use super::{Observed, Plan, outcome};
use crate::job::Event;

pub(super) fn is_active(status: &CronJobStatus, uid: Option<&str>) -> bool {
    status.active.iter().flatten().any(|active| active.uid.as_deref() == uid)
}

pub(super) fn is_active_by_name(status: &CronJobStatus, name: &str) -> bool {
    status.active.iter().flatten().any(|active| active.name.as_deref() == Some(name))
}

pub(super) fn forget(status: &mut CronJobStatus, uid: Option<&str>) {
    let mut active = status.active.take().unwrap_or_default();
    active.retain(|active| active.uid.as_deref() != uid);
    status.active = Some(active).filter(|active| !active.is_empty());
}

/// Takes what finished or vanished out of the list, and tells so.
pub(super) fn forget_finished(observed: &Observed<'_>, plan: &mut Plan) {
    for job in observed.jobs {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let uid = job.metadata.uid.as_deref();
        match outcome(job) {
            None if !is_active(&plan.status, uid) => {
                let message = format!("Saw a job that the controller did not create or forgot: {name}");
                plan.events.push(Event::warning("UnexpectedJob", &message));
            }
            Some(outcome) => {
                let was_active = observed.cron_job.status.as_ref().is_some_and(|status| is_active(status, uid));
                forget(&mut plan.status, uid);
                if was_active {
                    let message = format!("Saw completed job: {name}, condition: {outcome}");
                    plan.events.push(Event::normal("SawCompletedJob", &message));
                }
            }
            None => {}
        }
        if outcome(job) == Some("Complete") {
            let end = job.status.as_ref().and_then(|status| status.completion_time.clone());
            let last = plan.status.last_successful_time.take();
            plan.status.last_successful_time = last.max(end);
        }
    }
    let known = |uid: Option<&str>| observed.jobs.iter().any(|job| job.metadata.uid.as_deref() == uid);
    for active in plan.status.active.clone().unwrap_or_default() {
        if !known(active.uid.as_deref()) {
            let message = format!("Active job went missing: {}", active.name.as_deref().unwrap_or_default());
            plan.events.push(Event::normal("MissingJob", &message));
            forget(&mut plan.status, active.uid.as_deref());
        }
    }
}
