//! Whether a Job is over, and why.

use std::time::Duration;

use k8s_openapi::api::batch::v1::SuccessPolicy;

use super::conditions::find_true;
use super::deadline;
use super::failure_policy::Meaning;
use super::indexes::Indexes;
use super::view::View;
use crate::pod::phase;

/// How a Job ends, with the reason and the message of the condition that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) succeeded: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    fn failure(reason: &str, message: impl Into<String>) -> Self {
        Self { succeeded: false, reason: reason.to_owned(), message: message.into() }
    }

    fn success(reason: &str, message: impl Into<String>) -> Self {
        Self { succeeded: true, reason: reason.to_owned(), message: message.into() }
    }

    /// All that was asked for has succeeded, and nothing runs any more.
    pub(super) fn complete() -> Self {
        Self::success("CompletionsReached", "Reached expected number of succeeded pods")
    }
}

impl View<'_> {
    /// Why the Job is over although pods may still run; what was once decided stays so.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.decided()
            .or_else(|| self.policy_failure())
            .or_else(|| self.limit_reached())
            .or_else(|| self.too_many_failed_indexes())
            .or_else(|| self.success_policy())
    }

    /// Whether enough pods have succeeded and none runs.
    pub(super) fn is_complete(&self) -> bool {
        self.active.is_empty()
            && match self.spec.completions {
                None => self.succeeded > 0,
                Some(completions) => self.succeeded >= completions,
            }
    }

    fn decided(&self) -> Option<Verdict> {
        let conditions = self.status.conditions.as_deref().unwrap_or_default();
        [("SuccessCriteriaMet", true), ("FailureTarget", false)].into_iter().find_map(|(kind, succeeded)| {
            let condition = find_true(conditions, kind)?;
            Some(Verdict {
                succeeded,
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            })
        })
    }

    fn policy_failure(&self) -> Option<Verdict> {
        self.spec.pod_failure_policy.as_ref()?;
        let failed = self.observed.pods.iter().filter(|pod| self.is_failed(pod));
        failed.into_iter().find_map(|pod| match self.meaning(pod) {
            Meaning::FailJob(message) => Some(Verdict::failure("PodFailurePolicy", message)),
            _ => None,
        })
    }

    fn limit_reached(&self) -> Option<Verdict> {
        let start = self.status.start_time.as_ref().map(|time| time.0);
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.failed > limit || self.restarts().is_some_and(|restarts| restarts > 0 && restarts >= limit) {
            Some(Verdict::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
        } else if deadline(self.spec, start, self.observed.now) == Some(Duration::ZERO) {
            Some(Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
        } else {
            None
        }
    }

    /// How often containers were started again in pods that are not over, of a Job whose pods do so.
    fn restarts(&self) -> Option<i32> {
        let policy = self.spec.template.spec.as_ref()?.restart_policy.as_deref();
        policy.filter(|policy| *policy == "OnFailure")?;
        let going = self.observed.pods.iter().filter(|pod| matches!(phase(pod), "Running" | "Pending"));
        let containers = going.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        });
        Some(containers.fold(0, |sum: i32, container| sum.saturating_add(container.restart_count)))
    }

    fn too_many_failed_indexes(&self) -> Option<Verdict> {
        let failed = self.failed_indexes.as_ref()?.total();
        if self.spec.max_failed_indexes.is_some_and(|limit| failed > limit) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            Some(Verdict::failure("MaxFailedIndexesExceeded", message))
        } else if failed > 0 && failed.saturating_add(self.succeeded) >= self.completions() {
            Some(Verdict::failure("FailedIndexes", "Job has failed indexes"))
        } else {
            None
        }
    }

    fn success_policy(&self) -> Option<Verdict> {
        let policy = self.spec.success_policy.as_ref().filter(|_| self.is_indexed())?;
        let rule = matching_rule(policy, &self.completed, self.completions())?;
        Some(Verdict::success("SuccessPolicy", format!("Matched rules at index {rule}")))
    }
}

fn matching_rule(policy: &SuccessPolicy, completed: &Indexes, completions: i32) -> Option<usize> {
    if completed.is_empty() {
        return None;
    }
    policy.rules.iter().position(|rule| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(indexes), count) => {
            let required = Indexes::parse(indexes, completions);
            completed.common(&required) >= count.unwrap_or_else(|| required.total())
        }
        (None, Some(count)) => completed.total() >= count,
        (None, None) => false,
    })
}
