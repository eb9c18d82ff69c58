//! A Job's conditions, and the events that go with them.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Something to be told about the Job once its status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether something went wrong.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

impl Event {
    pub(crate) fn normal(reason: &str, message: &str) -> Self {
        Self { warning: false, reason: reason.to_owned(), message: message.to_owned() }
    }

    pub(crate) fn warning(reason: &str, message: &str) -> Self {
        Self { warning: true, reason: reason.to_owned(), message: message.to_owned() }
    }
}

/// Whether the Job has that condition and it is true.
#[must_use]
pub fn is_true(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref());
    find_true(conditions.unwrap_or_default(), kind).is_some()
}

/// Whether the Job is over for good.
#[must_use]
pub fn is_finished(job: &Job) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

/// Whether the Job shall not run at present.
#[must_use]
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

pub(super) fn find_true<'a>(conditions: &'a [JobCondition], kind: &str) -> Option<&'a JobCondition> {
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Says that a condition is true (or false), and why. One that is not there is not false: nothing is added then.
/// Returns whether anything changed.
pub(super) fn ensure(
    conditions: &mut Vec<JobCondition>,
    kind: &str,
    is: bool,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> bool {
    let status = if is { "True" } else { "False" };
    let known = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let same = |condition: &JobCondition| {
        condition.status == status
            && condition.reason.as_deref() == Some(reason)
            && condition.message.as_deref() == Some(message)
    };
    let time = Some(Time(now));
    match known {
        Some(condition) if same(condition) => false,
        Some(condition) => {
            if condition.status != status {
                condition.last_transition_time.clone_from(&time);
            }
            condition.last_probe_time = time;
            condition.status = status.to_owned();
            condition.reason = Some(reason.to_owned());
            condition.message = Some(message.to_owned());
            true
        }
        None if !is => false,
        None => {
            conditions.push(JobCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                last_probe_time: time.clone(),
                last_transition_time: time,
                reason: Some(reason.to_owned()),
                message: Some(message.to_owned()),
            });
            true
        }
    }
}
