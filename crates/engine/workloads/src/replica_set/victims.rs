//! Which pods a shrinking set can spare, as upstream's `ActivePodsWithRanks`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::{elapsed, is_active, phase, ready_since};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts `pods` by how little they would be missed; the first one is to be deleted first:
///
/// 1. not assigned to a node before assigned
/// 2. Pending before Unknown before Running
/// 3. not ready before ready
/// 4. lower `controller.kubernetes.io/pod-deletion-cost` before higher
/// 5. on a node with more `related` active pods before fewer
/// 6. ready for a shorter time before longer (in powers of two, so that an old pod may go as well)
/// 7. more container restarts before fewer
/// 8. created later before earlier (in powers of two), then by uid
#[must_use]
pub fn rank(pods: Vec<Arc<Pod>>, related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *crowd.entry(node_of(pod)).or_default() += 1;
    }
    let mut ranked: Vec<(Rank, Arc<Pod>)> = pods
        .into_iter()
        .map(|pod| (Rank::of(&pod, crowd.get(node_of(&pod)).copied().unwrap_or(0), now), pod))
        .collect();
    ranked.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.metadata.uid.cmp(&y.metadata.uid)));
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

/// Compared field by field, in order: the smallest goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    deletion_cost: i32,
    crowd: Reverse<usize>,
    ready_for: Age,
    restarts: Reverse<i32>,
    age: Age,
}

impl Rank {
    fn of(pod: &Pod, crowd: usize, now: Timestamp) -> Self {
        let ready = ready_since(pod);
        Self {
            assigned: !node_of(pod).is_empty(),
            phase: match phase(pod) {
                "Pending" | "" => 0,
                "Unknown" => 1,
                _ => 2,
            },
            ready: ready.is_some(),
            deletion_cost: deletion_cost(pod),
            crowd: Reverse(crowd),
            ready_for: Age::of(ready, now),
            restarts: Reverse(restarts(pod)),
            age: Age::of(pod.metadata.creation_timestamp.as_ref().map(|Time(time)| *time), now),
        }
    }
}

/// A time span by its power of two in nanoseconds; an unknown one is the shortest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Age(Option<u32>);

impl Age {
    fn of(since: Option<Timestamp>, now: Timestamp) -> Self {
        Self(since.map(|since| elapsed(since, now).as_nanos().max(1).ilog2()))
    }
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn deletion_cost(pod: &Pod) -> i32 {
    let cost = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}
