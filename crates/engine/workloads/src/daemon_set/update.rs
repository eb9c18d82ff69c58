//! Rolling updates of a DaemonSet: node by node, by taking away or by surging.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;

use super::{Observed, Place, Plan, is_deleting};
use crate::share::{Round, scaled};

/// How many nodes may be without an available pod, and how many may have two.
pub(super) struct Limits {
    rolling: bool,
    pub(super) unavailable: usize,
    pub(super) surge: usize,
}

impl Limits {
    pub(super) fn of(set: &DaemonSet, places: &[Place<'_>]) -> Self {
        let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return Self { rolling: false, unavailable: 0, surge: 0 };
        }
        let desired = places.iter().filter(|place| place.eligibility.should_run).count();
        let desired = i32::try_from(desired).unwrap_or(i32::MAX);
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let limit = |value: Option<_>, otherwise| value.map_or(otherwise, |value| scaled(value, desired, Round::Up));
        let unavailable = limit(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), 1);
        let surge = limit(rolling.and_then(|rolling| rolling.max_surge.as_ref()), 0);
        // Percentages of few nodes may both come to nothing: something must give.
        let unavailable = if unavailable == 0 && surge == 0 { 1 } else { unavailable };
        let count = |number| usize::try_from(number).unwrap_or(0);
        Self { rolling: true, unavailable: count(unavailable), surge: count(surge) }
    }
}

/// Replaces pods of old revisions within the limits.
pub(super) fn replace_old(observed: &Observed<'_>, places: &[Place<'_>], limits: &Limits, plan: &mut Plan) {
    if !limits.rolling {
        return;
    }
    let mut unavailable = 0;
    let mut surging = 0;
    // Old pods that are away already are replaced at once, the others as far as there is room.
    let (mut at_once, mut candidates) = (Vec::new(), Vec::new());
    for place in places.iter().filter(|place| place.eligibility.should_run) {
        let living = || place.pods.iter().filter(|pod| !is_deleting(pod));
        let new: Option<&Arc<Pod>> = living().find(|pod| observed.is_new(pod));
        let old: Option<&Arc<Pod>> = living().find(|pod| !observed.is_new(pod));
        match (new, old) {
            (Some(new), None) => unavailable += usize::from(!observed.is_available(new)),
            (None, Some(old)) if !observed.is_available(old) => {
                unavailable += 1;
                at_once.push((place.name, Arc::clone(old)));
            }
            (None, Some(old)) => candidates.push((place.name, Arc::clone(old))),
            (Some(_), Some(_)) => surging += 1,
            (None, None) => unavailable += 1,
        }
    }
    if limits.surge > 0 {
        let room = limits.surge.saturating_sub(surging);
        plan.create.extend(at_once.into_iter().map(|(node, _)| node.to_owned()));
        plan.create.extend(candidates.into_iter().take(room).map(|(node, _)| node.to_owned()));
    } else {
        let room = limits.unavailable.saturating_sub(unavailable);
        plan.delete.extend(at_once.into_iter().map(|(_, pod)| pod));
        plan.delete.extend(candidates.into_iter().take(room).map(|(_, pod)| pod));
    }
}
