//! DaemonSet: one pod on every node that it belongs on.

mod pods;
mod update;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use minato_placement::{Eligibility, Requirements};

use crate::history::CONTROLLER_REVISION_HASH;
use crate::pod::{Availability, availability, phase};
pub use pods::pod_for;
use pods::{node_of, template_spec};

/// Pods created or deleted by one plan at most; the rest follows in the next.
pub const BURST_REPLICAS: usize = 250;

/// What a DaemonSet sees.
pub struct Observed<'a> {
    /// The set.
    pub set: &'a DaemonSet,
    /// All nodes.
    pub nodes: &'a [Arc<Node>],
    /// The pods that it controls, finished and terminating ones included.
    pub pods: &'a [Arc<Pod>],
    /// The hash of the present revision: value of the label `controller-revision-hash` of its pods.
    pub hash: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// What must be done so that every node has its pod.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Names of nodes that get a pod.
    pub create: Vec<String>,
    /// Pods to delete.
    pub delete: Vec<Arc<Pod>>,
    /// Pods that ran to their end, to be deleted so that they are made again; not sooner than back-off allows.
    pub finished: Vec<Arc<Pod>>,
}

/// A node with the set's pods on it.
struct Place<'a> {
    name: &'a str,
    eligibility: Eligibility,
    /// Oldest first, scheduled before unscheduled.
    pods: Vec<Arc<Pod>>,
}

fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

impl<'a> Observed<'a> {
    /// The nodes with their pods, and the pods of nodes that are gone.
    fn places(&self) -> (Vec<Place<'a>>, Vec<Arc<Pod>>) {
        let mut by_node: HashMap<&str, Vec<Arc<Pod>>> = HashMap::new();
        for pod in self.pods {
            by_node.entry(node_of(pod)).or_default().push(Arc::clone(pod));
        }
        let requirements = Requirements::of(&template_spec(self.set));
        let places = self.nodes.iter().map(|node| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let mut pods = by_node.remove(name).unwrap_or_default();
            pods.sort_by_key(|pod| {
                let scheduled = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
                let created = pod.metadata.creation_timestamp.as_ref().map(|Time(time)| *time);
                (!scheduled, created, pod.metadata.name.clone())
            });
            Place { name, eligibility: requirements.eligibility(node), pods }
        });
        let mut places: Vec<Place<'a>> = places.collect();
        places.sort_by_key(|place| place.name);
        (places, by_node.into_values().flatten().collect())
    }

    fn min_ready_seconds(&self) -> i32 {
        self.set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn availability(&self, pod: &Pod) -> Availability {
        availability(pod, self.min_ready_seconds(), self.now)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        self.availability(pod) == Availability::Available
    }

    fn is_new(&self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(CONTROLLER_REVISION_HASH)).is_some_and(|hash| hash == self.hash)
    }
}

/// Compares nodes and pods. Nothing is done for a set that is being deleted.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    if observed.set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let (places, stray) = observed.places();
    let limits = update::Limits::of(observed.set, &places);
    for place in &places {
        manage(observed, place, &limits, &mut plan);
    }
    // A pod that was made for a node that is gone, and never started, has nowhere to go.
    plan.delete.extend(stray.into_iter().filter(|pod| {
        !is_deleting(pod)
            && pod.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty())
    }));
    // A rollout goes on only where every node has what it should have, so that no limit is counted twice.
    if plan.create.is_empty() && plan.delete.is_empty() && plan.finished.is_empty() {
        update::replace_old(observed, &places, &limits, &mut plan);
    }
    plan.create.truncate(BURST_REPLICAS);
    plan.delete.truncate(BURST_REPLICAS);
    plan
}

/// Gives one node what it should have.
fn manage(observed: &Observed<'_>, place: &Place<'_>, limits: &update::Limits, plan: &mut Plan) {
    if !place.eligibility.may_stay {
        plan.delete.extend(place.pods.iter().filter(|pod| !is_deleting(pod)).cloned());
        return;
    }
    let (mut running, mut waiting) = (Vec::new(), false);
    for pod in &place.pods {
        match phase(pod) {
            _ if is_deleting(pod) => waiting = true,
            "Failed" | "Succeeded" => {
                plan.finished.push(Arc::clone(pod));
                waiting = true;
            }
            _ => running.push(pod),
        }
    }
    if running.is_empty() && !waiting && place.eligibility.should_run {
        plan.create.push(place.name.to_owned());
    }
    if limits.surge == 0 {
        plan.delete.extend(running.into_iter().skip(1).cloned());
        return;
    }
    // While a rollout surges, a node may have one pod of each kind; the old one goes when the new one is available.
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = running.into_iter().partition(|pod| observed.is_new(pod));
    plan.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| Arc::clone(pod)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (crate::pod::is_ready(old) <= observed.is_available(new))
    {
        plan.delete.push(Arc::clone(old));
    }
}

/// The status that nodes and pods amount to, and when time alone will change it.
#[must_use]
pub fn status(observed: &Observed<'_>, collision_count: Option<i32>) -> (DaemonSetStatus, Option<Duration>) {
    let before = observed.set.status.as_ref();
    let mut status = DaemonSetStatus {
        collision_count: collision_count.or_else(|| before.and_then(|status| status.collision_count)),
        conditions: before.and_then(|status| status.conditions.clone()),
        observed_generation: observed.set.metadata.generation,
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    let mut recheck: Option<Duration> = None;
    for place in observed.places().0 {
        let Some(pod) = place.pods.first() else {
            status.desired_number_scheduled += i32::from(place.eligibility.should_run);
            continue;
        };
        if !place.eligibility.should_run {
            status.number_misscheduled += 1;
            continue;
        }
        status.desired_number_scheduled += 1;
        status.current_number_scheduled += 1;
        match observed.availability(pod) {
            Availability::Available => {
                status.number_ready += 1;
                available += 1;
            }
            Availability::After(wait) => {
                status.number_ready += 1;
                recheck = Some(recheck.map_or(wait, |sooner| sooner.min(wait)));
            }
            Availability::Unavailable => {}
        }
        updated += i32::from(observed.is_new(pod));
    }
    let positive = |count: i32| Some(count).filter(|count| *count > 0);
    status.updated_number_scheduled = positive(updated);
    status.number_available = positive(available);
    status.number_unavailable = positive(status.desired_number_scheduled - available);
    (status, recheck)
}

/// The labels that make a pod one of the present revision.
fn labels_of(hash: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(CONTROLLER_REVISION_HASH.to_owned(), hash.to_owned())])
}

#[cfg(test)]
mod tests;
