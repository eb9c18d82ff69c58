//! What a pod's status says, in the words that controllers use: active, ready, available.

use std::sync::Arc;
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

/// When the node refused the pod without having run anything of it, if it did.
#[must_use]
pub fn refused_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let ran = status.container_statuses.iter().flatten().any(|container| container.container_id.is_some());
    let told = status.start_time.as_ref().or(pod.metadata.creation_timestamp.as_ref());
    told.map(|time| time.0).filter(|_| status.reason.is_some() && !ran)
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

/// Of pods that have run to their end those beyond `kept`: first the evicted, which tell nothing any more, then the oldest.
/// Those that are being deleted already are not among them.
#[must_use]
pub fn surplus_finished(mut finished: Vec<Arc<Pod>>, kept: usize) -> Vec<Arc<Pod>> {
    finished.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let surplus = finished.len().saturating_sub(kept);
    if surplus == 0 {
        return Vec::new();
    }
    finished.sort_by_cached_key(|pod| {
        let evicted = pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted");
        let created = pod.metadata.creation_timestamp.as_ref().map(|Time(time)| *time);
        (!evicted, created, pod.metadata.name.clone())
    });
    finished.truncate(surplus);
    finished
}

/// The time from `since` to `now`; zero if `since` lies ahead.
#[must_use]
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_evicted_and_the_oldest_go_first() {
        let pod = |name: &str, second: i64, reason: &str, going: bool| -> Arc<Pod> {
            let time = |second| Time(Timestamp::from_second(second).unwrap());
            let metadata =
                json!({ "name": name, "creationTimestamp": time(second), "deletionTimestamp": going.then(|| time(9)) });
            let pod = json!({ "metadata": metadata, "status": { "phase": "Failed", "reason": reason } });
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let pods = vec![
            pod("young", 3, "", false),
            pod("old", 1, "", false),
            pod("evicted", 4, "Evicted", false),
            pod("middle", 2, "", false),
            pod("going", 0, "", true),
        ];
        for (kept, expected) in [(4, ""), (3, "evicted"), (2, "evicted old"), (0, "evicted old middle young")] {
            let names: Vec<_> =
                surplus_finished(pods.clone(), kept).iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
            assert_eq!(names.join(" "), expected);
        }
    }
}
