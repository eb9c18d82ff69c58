//! What a pod's status says, in the words that controllers use: active, ready, available.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// `status.phase`; the empty text where it is absent.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod has run to its end.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica: it neither ended nor is being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod is being deleted but has not ended yet.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// The condition of that type.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Since when the pod is ready, if it is; a Ready condition without a time says the beginning of time.
#[must_use]
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |Time(time)| *time))
}

/// Whether the Ready condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Whether a pod is available, and if not, whether time alone will make it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It has been ready for long enough.
    Available,
    /// It is ready and becomes available after this time if it stays so.
    After(Duration),
    /// It is not ready.
    Unavailable,
}

/// A pod is available when it has been ready for `min_ready_seconds`.
#[must_use]
pub fn availability(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Availability {
    let Some(since) = ready_since(pod) else { return Availability::Unavailable };
    let required = Duration::from_secs(u64::try_from(min_ready_seconds).unwrap_or(0));
    if required.is_zero() {
        return Availability::Available;
    }
    match required.checked_sub(elapsed(since, now)) {
        None | Some(Duration::ZERO) => Availability::Available,
        Some(missing) => Availability::After(missing),
    }
}

/// The time from `since` to `now`; zero if `since` lies ahead.
#[must_use]
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
