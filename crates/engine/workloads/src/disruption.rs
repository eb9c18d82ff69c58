//! How many of the pods that a PodDisruptionBudget covers may be evicted now.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pod::is_ready;

/// How long an evicted pod may take until its deletion is seen; then it counts as there again.
pub const DELETION_TIMEOUT: Duration = Duration::from_secs(120);
const CONDITION: &str = "DisruptionAllowed";

/// What a budget's status becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The status, all of it.
    pub status: PodDisruptionBudgetStatus,
    /// When to look again, though nothing happens: an eviction was announced and is not seen yet.
    pub recheck_after: Option<Duration>,
}

/// Whether the number of replicas that the pods' controllers want is needed to plan for `budget`.
pub fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = budget.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
    })
}

/// Plans for `budget`, which covers `pods`; `scale` is how many replicas their controllers want together, or why that is
/// not known. A budget that cannot be counted allows nothing.
pub fn plan(budget: &PodDisruptionBudget, pods: &[&Pod], scale: Result<i32, String>, now: Timestamp) -> Plan {
    let before = budget.status.clone().unwrap_or_default();
    let generation = budget.metadata.generation;
    let counted = expected(budget, i32::try_from(pods.len()).unwrap_or(i32::MAX), scale);
    let (expected_pods, desired_healthy) = match counted {
        Ok(counted) => counted,
        Err(message) => {
            let mut status = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..before };
            let told = Told { status: "False", reason: "SyncFailed", message };
            set_condition(&mut status, told, generation, now);
            return Plan { status, recheck_after: None };
        }
    };
    let (disrupted, recheck_after) = still_disrupted(&before, pods, now);
    let is_healthy = |pod: &&&Pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        pod.metadata.deletion_timestamp.is_none() && !disrupted.contains_key(name) && is_ready(pod)
    };
    let current_healthy = i32::try_from(pods.iter().filter(is_healthy).count()).unwrap_or(i32::MAX);
    // A budget that covers nothing yet allows nothing: its first pods may come before it is counted again.
    let allowed = if expected_pods > 0 { (current_healthy - desired_healthy).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        conditions: before.conditions,
        current_healthy: Some(current_healthy),
        desired_healthy: Some(desired_healthy),
        disrupted_pods: Some(disrupted).filter(|pods| !pods.is_empty()),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected_pods),
        observed_generation: generation,
    };
    let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, Told { status: value, reason, message: String::new() }, generation, now);
    Plan { status, recheck_after }
}

/// How many pods there should be, and how many of them healthy.
fn expected(budget: &PodDisruptionBudget, pods: i32, scale: Result<i32, String>) -> Result<(i32, i32), String> {
    let Some(spec) = &budget.spec else { return Ok((0, 0)) };
    if let Some(unavailable) = &spec.max_unavailable {
        let expected = scale?;
        return Ok((expected, (expected - scaled(unavailable, expected)?).max(0)));
    }
    match &spec.min_available {
        None => Ok((0, 0)),
        Some(IntOrString::Int(least)) => Ok((pods, *least)),
        Some(percent) => {
            let expected = scale?;
            Ok((expected, scaled(percent, expected)?))
        }
    }
}

/// A number, or a percentage of `of`, rounded up.
fn scaled(value: &IntOrString, of: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
            let percent = percent.ok_or_else(|| format!("invalid value {text:?}: must be a percentage"))?;
            let part = (i64::from(of) * percent).div_euclid(100) + i64::from((i64::from(of) * percent) % 100 != 0);
            i32::try_from(part).map_err(|_| format!("invalid value {text:?}: too large"))
        }
    }
}

/// Pods whose eviction is announced and not seen yet.
fn still_disrupted(
    before: &PodDisruptionBudgetStatus,
    pods: &[&Pod],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let mut still = BTreeMap::new();
    let mut recheck: Option<Duration> = None;
    let announced = before.disrupted_pods.as_ref();
    for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Some(time) = announced.and_then(|announced| announced.get(name)) else { continue };
        let timeout = SignedDuration::try_from(DELETION_TIMEOUT).unwrap_or(SignedDuration::MAX);
        let left = time.0.checked_add(timeout).unwrap_or(Timestamp::MAX).duration_since(now);
        let Ok(left) = Duration::try_from(left) else { continue };
        if left.is_zero() {
            continue;
        }
        still.insert(name.to_owned(), time.clone());
        recheck = Some(recheck.map_or(left, |soonest| soonest.min(left)));
    }
    (still, recheck)
}

struct Told {
    status: &'static str,
    reason: &'static str,
    message: String,
}

fn set_condition(status: &mut PodDisruptionBudgetStatus, told: Told, generation: Option<i64>, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let before = conditions.iter().position(|condition| condition.type_ == CONDITION);
    let since = before.map(|index| &conditions[index]).filter(|before| before.status == told.status);
    let condition = Condition {
        type_: CONDITION.to_owned(),
        status: told.status.to_owned(),
        reason: told.reason.to_owned(),
        message: told.message,
        observed_generation: generation,
        last_transition_time: since.map_or(Time(now), |before| before.last_transition_time.clone()),
    };
    match before {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn pods(ready: usize, unready: usize) -> Vec<Pod> {
        let pod = |index: usize| {
            let status = if index < ready { "True" } else { "False" };
            serde_json::from_value(json!({"metadata": {"name": format!("p{index}")},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}}))
            .unwrap()
        };
        (0..ready + unready).map(pod).collect()
    }

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        serde_json::from_value(json!({"metadata": {"name": "b", "generation": 3}, "spec": spec, "status": status}))
            .unwrap()
    }

    #[test]
    fn budgets_are_counted() {
        let check = |spec: Value, (ready, unready): (usize, usize), scale: i32, expected: [i32; 4]| {
            let pods = pods(ready, unready);
            let budget = budget(
                spec.clone(),
                json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}),
            );
            let plan = plan(&budget, &pods.iter().collect::<Vec<_>>(), Ok(scale), now());
            let status = plan.status;
            let found =
                [status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed];
            assert_eq!(found, expected.map(Some), "{spec}");
            assert_eq!(status.observed_generation, Some(3));
        };
        check(json!({"minAvailable": 2}), (3, 0), 9, [3, 2, 3, 1]);
        check(json!({"minAvailable": 2}), (1, 2), 9, [3, 2, 1, 0]);
        check(json!({"minAvailable": "50%"}), (5, 0), 5, [5, 3, 5, 2]);
        check(json!({"maxUnavailable": 1}), (3, 0), 4, [4, 3, 3, 0]);
        check(json!({"maxUnavailable": "30%"}), (10, 0), 10, [10, 7, 10, 3]);
        check(json!({"maxUnavailable": 5}), (2, 0), 2, [2, 0, 2, 2]);
        check(json!({"minAvailable": 0}), (0, 0), 0, [0, 0, 0, 0]);
    }

    #[test]
    fn announced_evictions_count_until_they_are_late() {
        let disrupted =
            json!({"p0": "2025-12-31T23:59:00Z", "p1": "2025-12-31T23:50:00Z", "gone": "2025-12-31T23:59:00Z"});
        let budget = budget(
            json!({"minAvailable": 1}),
            json!({"currentHealthy": 0, "desiredHealthy": 0,
            "disruptionsAllowed": 0, "expectedPods": 0, "disruptedPods": disrupted}),
        );
        let pods = pods(3, 0);
        let plan = plan(&budget, &pods.iter().collect::<Vec<_>>(), Ok(0), now());
        assert_eq!(plan.status.disruptions_allowed, Some(1));
        assert_eq!(Vec::from_iter(plan.status.disrupted_pods.unwrap().into_keys()), ["p0"]);
        assert_eq!(plan.recheck_after, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_cannot_be_counted_allows_nothing() {
        let budget = budget(
            json!({"maxUnavailable": 1}),
            json!({"currentHealthy": 3, "desiredHealthy": 1,
            "disruptionsAllowed": 2, "expectedPods": 3, "observedGeneration": 2}),
        );
        let plan = plan(&budget, &[], Err("found no controller".to_owned()), now());
        assert_eq!((plan.status.disruptions_allowed, plan.status.observed_generation), (Some(0), Some(2)));
        let condition = &plan.status.conditions.unwrap()[0];
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("SyncFailed", "found no controller"));
    }
}
