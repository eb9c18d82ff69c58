//! What a Job and its pods amount to, computed once for every decision.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::backoff::{Backoff, finished_at};
use super::failure_policy::{Meaning, meaning};
use super::indexes::Indexes;
use super::pod::{FAILURES, IGNORED_FAILURES, count_in, has_tracking_finalizer, index_of};
use super::{Observed, is_suspended};
use crate::pod::{is_active, is_terminating, phase};

pub(super) struct View<'a> {
    pub(super) observed: &'a Observed<'a>,
    pub(super) spec: &'a JobSpec,
    pub(super) status: JobStatus,
    pub(super) active: Vec<Arc<Pod>>,
    /// Pods of the Job that succeeded and failed, whether they are counted yet or not.
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    /// Indexes that the status calls completed, and those together with what the pods say.
    pub(super) completed_before: Indexes,
    pub(super) completed: Indexes,
    /// Of a Job with a limit per index.
    pub(super) failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that waits for its replacement: it remembers the number of failures, so that
    /// it stays until there is a successor that does.
    pub(super) delayed: BTreeMap<i32, Arc<Pod>>,
    pub(super) backoff: Backoff,
}

/// The pod's uid.
pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl<'a> View<'a> {
    pub(super) fn of(observed: &'a Observed<'a>) -> Option<Self> {
        let spec = observed.job.spec.as_ref()?;
        let status = observed.job.status.clone().unwrap_or_default();
        let mut view = Self {
            observed,
            spec,
            active: observed.pods.iter().filter(|pod| is_active(pod)).cloned().collect(),
            succeeded: 0,
            failed: 0,
            completed_before: Indexes::default(),
            completed: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            backoff: Backoff::default(),
            status,
        };
        view.count_finished();
        if view.is_indexed() {
            view.count_indexes();
        }
        Some(view)
    }

    fn count_finished(&mut self) {
        let uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        let (succeeded, failed) = (uncounted.succeeded.unwrap_or_default(), uncounted.failed.unwrap_or_default());
        let new_succeeded = self.uncounted(&succeeded, |pod| phase(pod) == "Succeeded");
        let new_failed = self.uncounted(&failed, |pod| self.is_failed(pod));
        let counting = new_failed.iter().filter(|pod| self.meaning(pod) != Meaning::Ignore).count();
        let backoff =
            self.observed.backoff.after(new_succeeded.iter().map(|pod| &***pod), new_failed.iter().map(|pod| &***pod));
        let (new_succeeded, new_failed) = (new_succeeded.len() + succeeded.len(), counting + failed.len());
        let sum = |counted: Option<i32>, more: usize| counted.unwrap_or(0).saturating_add(count(more));
        self.succeeded = sum(self.status.succeeded, new_succeeded);
        self.failed = sum(self.status.failed, new_failed);
        self.backoff = backoff;
    }

    /// Pods that pass the filter, are not counted yet, and are not `known` to be counted next.
    fn uncounted(&self, known: &[String], filter: impl Fn(&Pod) -> bool) -> Vec<&'a Arc<Pod>> {
        let known: HashSet<&str> = known.iter().map(String::as_str).collect();
        let open = |pod: &Pod| {
            has_tracking_finalizer(pod) && !known.contains(uid(pod)) && (!self.is_indexed() || self.has_index(pod))
        };
        self.observed.pods.iter().filter(|pod| open(pod) && filter(pod)).collect()
    }

    fn count_indexes(&mut self) {
        let completions = self.completions();
        let tracked = || self.observed.pods.iter().filter(|pod| has_tracking_finalizer(pod) && self.has_index(pod));
        let before = Indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default(), completions);
        let mut completed = before.clone();
        tracked().filter(|pod| phase(pod) == "Succeeded").filter_map(|pod| index_of(pod)).for_each(|index| {
            completed.insert(index);
        });
        let failed = self.spec.backoff_limit_per_index.map(|limit| {
            let known = self.status.failed_indexes.as_deref().unwrap_or_default();
            let mut failed = Indexes::parse(known, completions);
            tracked().filter(|pod| self.fails_index(pod, limit)).filter_map(|pod| index_of(pod)).for_each(|index| {
                failed.insert(index);
            });
            failed
        });
        if let Some(failed) = &failed {
            let running: HashSet<i32> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
            let mut delayed: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
            let over = |index: i32| completed.contains(index) || failed.contains(index) || running.contains(&index);
            for pod in tracked().filter(|pod| self.is_failed(pod)) {
                let Some(index) = index_of(pod).filter(|index| !over(*index)) else { continue };
                if delayed.get(&index).is_none_or(|other| rank(other) <= rank(pod)) {
                    delayed.insert(index, Arc::clone(pod));
                }
            }
            self.delayed = delayed;
        }
        self.succeeded = completed.total();
        (self.completed_before, self.completed, self.failed_indexes) = (before, completed, failed);
    }

    /// Whether the pod's failure is the last that its index had left.
    fn fails_index(&self, pod: &Pod, limit: i32) -> bool {
        self.is_failed(pod)
            && match self.meaning(pod) {
                Meaning::FailIndex => true,
                Meaning::Ignore => false,
                Meaning::Count | Meaning::FailJob(_) => count_in(pod, FAILURES) >= limit,
            }
    }

    /// What the pod's failure means.
    pub(super) fn meaning(&self, pod: &Pod) -> Meaning {
        meaning(self.spec.pod_failure_policy.as_ref(), pod)
    }

    /// Whether the pod counts as failed. One that is being deleted does at once, because it may vanish before it says
    /// how it ended, unless only pods that have come to their end are replaced.
    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        match phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            _ => !self.replaces_failed_only() && pod.metadata.deletion_timestamp.is_some(),
        }
    }

    pub(super) fn replaces_failed_only(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed") || self.spec.pod_failure_policy.is_some()
    }

    pub(super) fn is_suspended(&self) -> bool {
        is_suspended(self.observed.job)
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    pub(super) fn has_limit_per_index(&self) -> bool {
        self.spec.backoff_limit_per_index.is_some()
    }

    /// `spec.completions`; 0 where it is absent.
    pub(super) fn completions(&self) -> i32 {
        self.spec.completions.unwrap_or(0)
    }

    /// Whether the index is one of the Job's.
    pub(super) fn is_valid(&self, index: Option<i32>) -> bool {
        index.is_some_and(|index| index < self.completions())
    }

    pub(super) fn has_index(&self, pod: &Pod) -> bool {
        self.is_valid(index_of(pod))
    }

    pub(super) fn active_by_index(&self) -> BTreeMap<Option<i32>, Vec<Arc<Pod>>> {
        let mut by_index: BTreeMap<Option<i32>, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in &self.active {
            by_index.entry(index_of(pod)).or_default().push(Arc::clone(pod));
        }
        by_index
    }

    /// The first `count` indexes that have neither finished nor a pod.
    pub(super) fn pending_indexes(&self, count: usize) -> Vec<i32> {
        let mut taken = self.completed.clone();
        self.active.iter().filter_map(|pod| index_of(pod)).for_each(|index| taken.insert(index));
        if self.replaces_failed_only() {
            let ending = self.observed.pods.iter().filter(|pod| is_terminating(pod));
            ending.filter_map(|pod| index_of(pod)).for_each(|index| taken.insert(index));
        }
        if let Some(failed) = &self.failed_indexes {
            taken.insert_all(failed);
        }
        taken.first_missing(count, self.completions())
    }
}

/// Of several failed pods of an index the one to be replaced: most failures, then the latest.
fn rank(pod: &Pod) -> (i32, jiff::Timestamp) {
    (count_in(pod, FAILURES).saturating_add(count_in(pod, IGNORED_FAILURES)), finished_at(pod))
}
