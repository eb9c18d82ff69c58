//! Rolling updates of a StatefulSet: from the highest ordinal down to the partition.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet};
use k8s_openapi::api::core::v1::Pod;

use super::{Observed, Step, desired_replicas, first_ordinal, is_deleting, pod_of, revision_of};
use crate::share::{Round, scaled};

fn strategy(set: &StatefulSet) -> Option<&str> {
    set.spec.as_ref()?.update_strategy.as_ref()?.type_.as_deref()
}

fn rolling(set: &StatefulSet) -> Option<&RollingUpdateStatefulSetStrategy> {
    set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()
}

/// Whether old pods are replaced without somebody deleting them.
pub(super) fn is_rolling(set: &StatefulSet) -> bool {
    strategy(set) != Some("OnDelete")
}

/// Pods with an ordinal below the first one plus this keep the current revision.
fn partition(set: &StatefulSet) -> i32 {
    rolling(set).and_then(|rolling| rolling.partition).unwrap_or(0)
}

/// How many pods may be unavailable at once: a number or a part of the replicas, at least one.
fn max_unavailable(set: &StatefulSet) -> usize {
    let wanted = rolling(set).and_then(|rolling| rolling.max_unavailable.as_ref());
    let count = wanted.map_or(1, |wanted| scaled(wanted, desired_replicas(set), Round::Down));
    usize::try_from(count).unwrap_or(0).max(1)
}

/// The pod to make at an ordinal: of the current revision where the rollout has not come to yet.
pub(super) fn pod_at(observed: &Observed<'_>, ordinal: i32) -> Pod {
    let set = observed.set;
    let place = ordinal.saturating_sub(first_ordinal(set));
    let is_old = is_rolling(set)
        && match rolling(set).and_then(|rolling| rolling.partition) {
            Some(partition) => place < partition,
            None => place < set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0),
        };
    pod_of(set, if is_old { observed.current } else { observed.update }, ordinal)
}

/// Ends pods of an old revision, as many as may be away at once.
pub(super) fn replace_old(observed: &Observed<'_>, wanted: &[Option<Arc<Pod>>], steps: &mut Vec<Step>) {
    if !is_rolling(observed.set) {
        return;
    }
    let from = usize::try_from(partition(observed.set)).unwrap_or(0);
    let unavailable = wanted.iter().filter(|pod| pod.as_ref().is_none_or(|pod| !observed.is_available(pod))).count();
    let mut room = max_unavailable(observed.set).saturating_sub(unavailable);
    for pod in wanted.iter().skip(from).rev().flatten() {
        if revision_of(pod) == observed.update.name || is_deleting(pod) {
            continue;
        }
        // An old pod that is away already does not become more so.
        let is_away = !observed.is_available(pod);
        if !is_away {
            if room == 0 {
                continue;
            }
            room -= 1;
        }
        steps.push(Step::DeletePod(Arc::clone(pod)));
    }
}
