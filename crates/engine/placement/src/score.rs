//! How well a pod that fits would sit on a node, as upstream's plugins count: from 0 to 100 each.

use crate::demand::Local;
use crate::node::{Load, Offer};
use crate::profile::{Plugin, Profile, Strategy};

/// Full marks.
pub(crate) const FULL: i64 = 100;
const MEGABYTE: i64 = 1024 * 1024;
/// Images of less size in sum make no difference, and of more no more of it, per container.
const IMAGES_MIN: i64 = 23 * MEGABYTE;
const IMAGES_MAX: i64 = 1000 * MEGABYTE;

/// The weighted sum of what depends on nothing but the pod and the node.
pub(crate) fn resource_score(profile: &Profile, demand: &Local, offer: &Offer, load: &Load) -> i64 {
    let mut score = 0;
    let fit = profile.weight(Plugin::NodeResourcesFit);
    if fit != 0 {
        score += fit * fit_score(profile, demand, offer, load);
    }
    let balanced = profile.weight(Plugin::NodeResourcesBalancedAllocation);
    if balanced != 0 {
        score += balanced * balanced_score(profile, demand, offer, load);
    }
    score
}

/// How much of a resource the node has, and how much would be requested of it; `None` if it does not count.
fn amounts(name: &str, demand: &Local, offer: &Offer, load: &Load, as_scored: bool) -> Option<(i64, i64)> {
    let (capacity, requested) = match name {
        "cpu" if as_scored => (offer.allocatable.cpu_millis, load.scored[0] + demand.scored[0]),
        "memory" if as_scored => (offer.allocatable.memory_bytes, load.scored[1] + demand.scored[1]),
        "cpu" => (offer.allocatable.cpu_millis, load.requested.cpu_millis + demand.requests.cpu_millis),
        "memory" => (offer.allocatable.memory_bytes, load.requested.memory_bytes + demand.requests.memory_bytes),
        "ephemeral-storage" => {
            (offer.allocatable.ephemeral_bytes, load.requested.ephemeral_bytes + demand.requests.ephemeral_bytes)
        }
        other => {
            let of = |amounts: &crate::resources::Resources| amounts.others.get(other).copied().unwrap_or_default();
            let asked = of(&demand.requests);
            if asked == 0 {
                return None;
            }
            (of(&offer.allocatable), of(&load.requested) + asked)
        }
    };
    (capacity != 0).then_some((capacity, requested))
}

fn fit_score(profile: &Profile, demand: &Local, offer: &Offer, load: &Load) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for (name, weight) in &profile.fit_resources {
        let Some((capacity, requested)) = amounts(name, demand, offer, load, true) else { continue };
        match &profile.strategy {
            Strategy::LeastAllocated => {
                let free = capacity.saturating_sub(requested);
                sum += weight * if requested > capacity { 0 } else { part(free, capacity) };
                weights += weight;
            }
            Strategy::MostAllocated => {
                sum += weight * part(requested.min(capacity), capacity);
                weights += weight;
            }
            Strategy::RequestedToCapacityRatio(shape) => {
                let used = if requested > capacity { FULL } else { part(requested, capacity) };
                let score = interpolate(shape, used);
                if score > 0 {
                    sum += weight * score;
                    weights += weight;
                }
            }
        }
    }
    match &profile.strategy {
        _ if weights == 0 => 0,
        Strategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

fn balanced_score(profile: &Profile, demand: &Local, offer: &Offer, load: &Load) -> i64 {
    if demand.requests.cpu_millis == 0 && demand.requests.memory_bytes == 0 && demand.requests.others.is_empty() {
        return 0; // upstream skips pods that request nothing
    }
    let mut used = [0.0_f64; 8];
    let mut count = 0;
    for (name, _) in &profile.balanced_resources {
        let Some((capacity, requested)) = amounts(name, demand, offer, load, false) else { continue };
        if let Some(slot) = used.get_mut(count) {
            *slot = (requested as f64 / capacity as f64).min(1.0);
            count += 1;
        }
    }
    let used = &used[..count];
    let deviation = match used {
        [a, b] => ((a - b) / 2.0).abs(),
        [_, _, _, ..] => {
            let mean = used.iter().sum::<f64>() / count as f64;
            (used.iter().map(|one| (one - mean) * (one - mean)).sum::<f64>() / count as f64).sqrt()
        }
        _ => 0.0,
    };
    ((1.0 - deviation) * FULL as f64) as i64
}

/// `amount / whole` in hundredths.
fn part(amount: i64, whole: i64) -> i64 {
    match amount.checked_mul(FULL) {
        Some(product) => product / whole,
        None => i64::try_from(i128::from(amount) * i128::from(FULL) / i128::from(whole)).unwrap_or(FULL),
    }
}

/// Upstream's broken linear function: constant before the first and after the last point.
fn interpolate(shape: &[(i64, i64)], at: i64) -> i64 {
    let scaled = |score: i64| score * (FULL / 10);
    let Some(next) = shape.iter().position(|(x, _)| at <= *x) else {
        return shape.last().map_or(0, |(_, y)| scaled(*y));
    };
    let (x1, y1) = shape[next];
    let Some((x0, y0)) = next.checked_sub(1).map(|before| shape[before]) else { return scaled(y1) };
    scaled(y0) + (scaled(y1) - scaled(y0)) * (at - x0) / (x1 - x0)
}

/// Prefers nodes that have the pod's images: `sizes` are those there, scaled by how many nodes have them.
pub(crate) fn image_score(bytes: i64, containers: usize) -> i64 {
    let max = IMAGES_MAX * i64::try_from(containers).unwrap_or(i64::MAX / IMAGES_MAX);
    if max <= IMAGES_MIN {
        return 0;
    }
    FULL * (bytes.clamp(IMAGES_MIN, max) - IMAGES_MIN) / (max - IMAGES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines() {
        let shape = [(0, 0), (40, 10), (100, 5)];
        for (at, score) in [(0, 0), (20, 50), (40, 100), (70, 75), (100, 50)] {
            assert_eq!(interpolate(&shape, at), score, "{at}");
        }
        assert_eq!(interpolate(&[(50, 3)], 20), 30);
        assert_eq!(interpolate(&[(50, 3)], 90), 30);
    }

    #[test]
    fn images() {
        assert_eq!(image_score(0, 1), 0);
        assert_eq!(image_score(23 * MEGABYTE, 1), 0);
        assert_eq!(image_score(1000 * MEGABYTE, 1), 100);
        assert_eq!(image_score(250 * MEGABYTE, 2), 11);
    }
}
