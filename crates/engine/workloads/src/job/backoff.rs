//! How long a Job waits after failures before it makes another pod: 10 s, doubling to 10 min, forgotten at a success.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pod::{FAILURES, IGNORED_FAILURES, count_in};
use crate::pod::{condition, elapsed};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// What is remembered of a Job's failures since its last success. Kept in memory alone, as upstream does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: i32,
    last_failure: Option<Timestamp>,
}

impl Backoff {
    /// What is to be remembered after these pods finished as well.
    pub(super) fn after<'a>(
        &self,
        succeeded: impl Iterator<Item = &'a Pod>,
        failed: impl Iterator<Item = &'a Pod>,
    ) -> Self {
        let last_success = succeeded.map(finished_at).max();
        let failures: Vec<Timestamp> =
            failed.map(finished_at).filter(|at| last_success.is_none_or(|success| *at > success)).collect();
        let before = if last_success.is_some() { Self::default() } else { self.clone() };
        Self {
            failures: before.failures.saturating_add(i32::try_from(failures.len()).unwrap_or(i32::MAX)),
            last_failure: failures.into_iter().max().or(before.last_failure),
        }
    }

    /// The time until the next pod may be made.
    pub(super) fn remaining(&self, now: Timestamp) -> Option<Duration> {
        remaining(self.failures, self.last_failure?, now)
    }
}

/// The time until the failed pod of an index may be replaced.
pub(super) fn remaining_of_index(failed: &Pod, now: Timestamp) -> Option<Duration> {
    let failures = count_in(failed, FAILURES).saturating_add(count_in(failed, IGNORED_FAILURES)).saturating_add(1);
    remaining(failures, finished_at(failed), now)
}

fn remaining(failures: i32, last_failure: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = u32::try_from(failures - 1).ok()?.min(16);
    let wait = (FIRST * (1 << doublings)).min(LONGEST);
    wait.checked_sub(elapsed(last_failure, now)).filter(|wait| !wait.is_zero())
}

/// When the pod ended: the last of its containers, or else when it stopped being ready, or was told to end.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let at = |time: &Time| time.0;
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let ends = containers
        .iter()
        .map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(at))
        .collect::<Option<Vec<Timestamp>>>();
    let not_ready = || condition(pod, "Ready").filter(|ready| ready.status == "False");
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let told = at(pod.metadata.deletion_timestamp.as_ref()?);
        Some(told.checked_sub(jiff::SignedDuration::from_secs(grace)).unwrap_or(told))
    };
    ends.and_then(|ends| ends.into_iter().max())
        .or_else(|| not_ready()?.last_transition_time.as_ref().map(at))
        .or_else(deleted)
        .or_else(|| pod.metadata.creation_timestamp.as_ref().map(at))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
