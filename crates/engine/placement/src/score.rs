//! How well a pod that fits would sit on a node. All sums of whole numbers: the same everywhere, always.

use crate::demand::Demand;
use crate::node::{Load, Offer, tolerates};

/// Weights as upstream's default profile has them.
const TAINT_WEIGHT: i64 = 3;
const AFFINITY_WEIGHT: i64 = 2;
const SPREAD_WEIGHT: i64 = 2;

/// Full marks of every part.
const FULL: i64 = 100;
/// Parts of marks, so that small differences count on large nodes.
const GRAIN: i64 = 1000;

/// The score that depends on nothing but the pod and the node.
pub(crate) fn local_score(demand: &Demand, name: &str, offer: &Offer, load: &Load) -> i64 {
    let capacity = [offer.allocatable.cpu_millis, offer.allocatable.memory_bytes];
    let scored = [load.scored[0] + demand.scored[0], load.scored[1] + demand.scored[1]];
    let requested = [
        load.requested.cpu_millis + demand.requests.cpu_millis,
        load.requested.memory_bytes + demand.requests.memory_bytes,
    ];
    let here = demand.group.as_ref().and_then(|group| load.groups.get(group)).copied().unwrap_or_default();
    least_allocated(capacity, scored)
        + balanced_allocation(capacity, requested)
        + TAINT_WEIGHT * taint_toleration(demand, offer)
        + AFFINITY_WEIGHT * GRAIN * demand.affinity.preference(name, &offer.labels)
        + SPREAD_WEIGHT * rarity(i64::from(here), 1)
}

/// The score of a zone that has `pods` of the pod's group on `nodes` nodes.
pub(crate) fn zone_score(pods: u32, nodes: usize) -> i64 {
    SPREAD_WEIGHT * rarity(pods.into(), i64::try_from(nodes).unwrap_or(i64::MAX).max(1))
}

/// Full marks where there is none yet, half where there is one per place, a third where there are two, …
fn rarity(pods: i64, places: i64) -> i64 {
    FULL * GRAIN * places / (places + pods)
}

/// Prefers the emptier node.
fn least_allocated(capacity: [i64; 2], used: [i64; 2]) -> i64 {
    let free = |(capacity, used): (i64, i64)| part(capacity.saturating_sub(used).max(0), capacity);
    capacity.into_iter().zip(used).map(free).sum::<i64>() / 2
}

/// Prefers the node whose CPU and memory are used in like measure.
fn balanced_allocation(capacity: [i64; 2], used: [i64; 2]) -> i64 {
    let [cpu, memory] = [part(used[0].min(capacity[0]), capacity[0]), part(used[1].min(capacity[1]), capacity[1])];
    FULL * GRAIN - (cpu - memory).abs() / 2
}

/// `amount / whole` in grains of marks.
fn part(amount: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let grains = i128::from(amount) * i128::from(FULL * GRAIN) / i128::from(whole);
    i64::try_from(grains).unwrap_or(FULL * GRAIN)
}

/// Prefers nodes that do not mind the pod.
fn taint_toleration(demand: &Demand, offer: &Offer) -> i64 {
    let unwelcoming = |taint: &&_| -> bool {
        let taint: &crate::taint::Taint = taint;
        taint.effect == "PreferNoSchedule" && !tolerates(demand, taint)
    };
    rarity(offer.taints.iter().filter(unwelcoming).count().try_into().unwrap_or(i64::MAX), 1)
}
