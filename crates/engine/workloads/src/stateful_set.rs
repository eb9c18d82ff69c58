//! StatefulSet: pods with a name, an ordinal and storage of their own, made and ended in order.
//!
//! One look yields the steps that are due now; each step changes a pod, which brings the next look. With
//! `podManagementPolicy: OrderedReady` a step waits for all pods before it, with `Parallel` none does.

mod identity;
mod storage;
mod update;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};

use crate::history::CONTROLLER_REVISION_HASH;
use crate::pod::{Availability, availability, is_finished, phase};
pub use identity::{ordinal_of, pod_of};
pub use storage::claims_of;

/// A revision of the set: the name of its ControllerRevision and the template in it.
#[derive(Clone, Copy)]
pub struct Revision<'a> {
    /// Value of the label `controller-revision-hash` of its pods.
    pub name: &'a str,
    /// What its pods are made of.
    pub template: &'a PodTemplateSpec,
}

/// What a StatefulSet sees.
pub struct Observed<'a> {
    /// The set.
    pub set: &'a StatefulSet,
    /// The pods that it controls, finished and terminating ones included.
    pub pods: &'a [Arc<Pod>],
    /// A claim of the set's namespace by its name.
    pub claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    /// The revision that a rollout comes from.
    pub current: Revision<'a>,
    /// The revision that a rollout goes to.
    pub update: Revision<'a>,
    /// The present.
    pub now: Timestamp,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make a claim that a pod needs.
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Give a claim these owners, by the set's retention policy.
    UpdateClaim(Box<PersistentVolumeClaim>),
    /// Make a pod.
    CreatePod(Box<Pod>),
    /// Give a pod back the labels that tell who it is.
    Relabel(Arc<Pod>, Box<Pod>),
    /// End a pod that ran to its end, so that it can be made again.
    Recreate(Arc<Pod>),
    /// End a pod that there should not be any more, or that is of an old revision.
    DeletePod(Arc<Pod>),
}

/// The set's pods by their place.
struct Places {
    /// By ordinal less the first one; `spec.replicas` of them.
    wanted: Vec<Option<Arc<Pod>>>,
    /// Those beyond, the highest ordinal first.
    condemned: Vec<Arc<Pod>>,
}

fn spec_of(set: &StatefulSet) -> Option<&StatefulSetSpec> {
    set.spec.as_ref()
}

/// `spec.replicas`, 1 where it is absent.
#[must_use]
pub fn desired_replicas(set: &StatefulSet) -> i32 {
    spec_of(set).and_then(|spec| spec.replicas).unwrap_or(1).max(0)
}

/// The ordinal of the first pod.
#[must_use]
pub fn first_ordinal(set: &StatefulSet) -> i32 {
    spec_of(set).and_then(|spec| spec.ordinals.as_ref()?.start).unwrap_or(0)
}

fn is_parallel(set: &StatefulSet) -> bool {
    spec_of(set).and_then(|spec| spec.pod_management_policy.as_deref()) == Some("Parallel")
}

fn min_ready_seconds(set: &StatefulSet) -> i32 {
    spec_of(set).and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

fn revision_of(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(CONTROLLER_REVISION_HASH)).map_or("", String::as_str)
}

fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

impl Observed<'_> {
    fn places(&self) -> Places {
        let first = first_ordinal(self.set);
        let mut wanted = vec![None; usize::try_from(desired_replicas(self.set)).unwrap_or(0)];
        let mut condemned = Vec::new();
        for pod in self.pods {
            let Some(ordinal) = ordinal_of(self.set, pod) else { continue };
            let place = ordinal.checked_sub(first).and_then(|place| usize::try_from(place).ok());
            match place.and_then(|place| wanted.get_mut(place)) {
                Some(place) => *place = Some(Arc::clone(pod)),
                None => condemned.push(Arc::clone(pod)),
            }
        }
        condemned.sort_by_key(|pod| Reverse(ordinal_of(self.set, pod)));
        Places { wanted, condemned }
    }

    fn availability(&self, pod: &Pod) -> Availability {
        if phase(pod) != "Running" {
            return Availability::Unavailable;
        }
        availability(pod, min_ready_seconds(self.set), self.now)
    }

    fn is_ready(&self, pod: &Pod) -> bool {
        self.availability(pod) != Availability::Unavailable
    }

    fn is_available(&self, pod: &Pod) -> bool {
        self.availability(pod) == Availability::Available && !is_deleting(pod)
    }
}

/// The steps that are due now.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if observed.set.metadata.deletion_timestamp.is_some() {
        return steps;
    }
    let places = observed.places();
    let in_order = !is_parallel(observed.set);
    let waits = raise(observed, &places, in_order, &mut steps) || lower(observed, &places, in_order, &mut steps);
    if !waits {
        update::replace_old(observed, &places.wanted, &mut steps);
    }
    steps
}

/// Makes the wanted pods; says whether what follows has to wait.
fn raise(observed: &Observed<'_>, places: &Places, in_order: bool, steps: &mut Vec<Step>) -> bool {
    let mut waits = false;
    for (place, pod) in (0..).zip(&places.wanted) {
        let ordinal = first_ordinal(observed.set).saturating_add(place);
        let pending = match pod {
            None => {
                storage::ensure(observed, ordinal, None, steps);
                steps.push(Step::CreatePod(Box::new(update::pod_at(observed, ordinal))));
                true
            }
            Some(pod) if is_finished(pod) => {
                if !is_deleting(pod) {
                    steps.push(Step::Recreate(Arc::clone(pod)));
                }
                waits = true;
                true
            }
            Some(pod) => {
                storage::ensure(observed, ordinal, Some((pod, false)), steps);
                if let Some(relabelled) = identity::corrected(observed.set, pod) {
                    steps.push(Step::Relabel(Arc::clone(pod), Box::new(relabelled)));
                }
                is_deleting(pod) || !observed.is_available(pod)
            }
        };
        if pending && in_order {
            return true;
        }
    }
    waits
}

/// Ends the condemned pods; says whether what follows has to wait.
fn lower(observed: &Observed<'_>, places: &Places, in_order: bool, steps: &mut Vec<Step>) -> bool {
    // A pod that is not ready does not hold up its own deletion.
    let all = places.wanted.iter().flatten().chain(places.condemned.iter().rev());
    let first_unhealthy = all.into_iter().find(|pod| !observed.is_ready(pod) || is_deleting(pod));
    for pod in &places.condemned {
        if !is_deleting(pod) {
            let is_held = !observed.is_available(pod) && first_unhealthy.is_none_or(|first| !Arc::ptr_eq(first, pod));
            if in_order && is_held {
                return true;
            }
            if let Some(ordinal) = ordinal_of(observed.set, pod) {
                storage::ensure(observed, ordinal, Some((pod, true)), steps);
            }
            steps.push(Step::DeletePod(Arc::clone(pod)));
        }
        if in_order {
            return true;
        }
    }
    false
}

/// The status that the pods amount to, and when time alone will change it.
#[must_use]
pub fn status(observed: &Observed<'_>) -> (StatefulSetStatus, Option<Duration>) {
    let set = observed.set;
    let before = set.status.as_ref();
    let (mut replicas, mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0, 0);
    let mut recheck: Option<Duration> = None;
    for pod in observed.pods {
        if phase(pod).is_empty() {
            continue;
        }
        replicas += 1;
        match observed.availability(pod) {
            Availability::Available => (ready, available) = (ready + 1, available + 1),
            Availability::After(wait) => {
                ready += 1;
                recheck = Some(recheck.map_or(wait, |sooner| sooner.min(wait)));
            }
            Availability::Unavailable => {}
        }
        if !is_deleting(pod) {
            current += i32::from(revision_of(pod) == observed.current.name);
            updated += i32::from(revision_of(pod) == observed.update.name);
        }
    }
    let mut status = StatefulSetStatus {
        available_replicas: Some(available),
        collision_count: before.and_then(|status| status.collision_count).or(Some(0)),
        conditions: before.and_then(|status| status.conditions.clone()),
        current_replicas: Some(current).filter(|count| *count > 0),
        current_revision: Some(observed.current.name.to_owned()),
        observed_generation: set.metadata.generation,
        ready_replicas: Some(ready).filter(|count| *count > 0),
        replicas,
        update_revision: Some(observed.update.name.to_owned()),
        updated_replicas: Some(updated).filter(|count| *count > 0),
    };
    // The rollout has ended: where it went to is where the next one comes from.
    if update::is_rolling(set) && updated == replicas && ready == replicas && replicas == desired_replicas(set) {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
    (status, recheck)
}

#[cfg(test)]
mod tests;
