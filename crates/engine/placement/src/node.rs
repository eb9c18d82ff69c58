//! A node: what it offers, what is on it, and whether a pod fits.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Node;

use crate::demand::{Demand, HostPort};
use crate::refusal::Refusal;
use crate::resources::Resources;
use crate::taint::Taint;

const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Resources,
    pub(crate) pods_max: i64,
}

impl Offer {
    pub(crate) fn read(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let pods_max = allocatable.and_then(|list| list.get("pods"));
        let pods_max = pods_max.and_then(|written| minato_quantity::Quantity::parse(&written.0).ok());
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten().map(Taint::read).collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
            allocatable: allocatable.map(Resources::read).unwrap_or_default(),
            pods_max: pods_max.map_or(0, |quantity| quantity.value()),
        }
    }

    /// The zone; nodes that name none share one.
    pub(crate) fn zone(&self) -> &str {
        self.labels.get(ZONE_LABEL).map_or("", String::as_str)
    }
}

/// What is on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) requested: Resources,
    /// As [`Demand::scored`].
    pub(crate) scored: [i64; 2],
    pub(crate) pods: i64,
    pub(crate) ports: BTreeMap<HostPort, u32>,
    /// How many pods of each group are here.
    pub(crate) groups: HashMap<String, u32>,
}

impl Load {
    pub(crate) fn add(&mut self, demand: &Demand) {
        self.requested.add(&demand.requests);
        self.pods += 1;
        for (own, more) in self.scored.iter_mut().zip(demand.scored) {
            *own += more;
        }
        for port in &demand.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
        if let Some(group) = &demand.group {
            *self.groups.entry(group.clone()).or_default() += 1;
        }
    }

    pub(crate) fn subtract(&mut self, demand: &Demand) {
        self.requested.subtract(&demand.requests);
        self.pods -= 1;
        for (own, less) in self.scored.iter_mut().zip(demand.scored) {
            *own -= less;
        }
        for port in &demand.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
            }
        }
        self.ports.retain(|_, count| *count > 0);
        if let Some(group) = &demand.group
            && let Some(count) = self.groups.get_mut(group)
        {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(group);
            }
        }
    }
}

/// Everything that speaks against the pod on this node, or nothing. Like upstream, the first check that fails is
/// reported, but all missing resources.
pub(crate) fn refusals(demand: &Demand, name: &str, offer: &Offer, load: &Load) -> Vec<Refusal> {
    if offer.unschedulable && !tolerates(demand, &unschedulable_taint()) {
        return vec![Refusal::Unschedulable];
    }
    if demand.node_name.as_ref().is_some_and(|wanted| wanted != name) {
        return vec![Refusal::NodeName];
    }
    if let Some(taint) = offer.taints.iter().find(|taint| taint.is_hard() && !tolerates(demand, taint)) {
        return vec![Refusal::Taint { key: taint.key.clone(), value: taint.value.clone() }];
    }
    if !demand.affinity.admits(name, &offer.labels) {
        return vec![Refusal::Affinity];
    }
    if demand.ports.iter().any(|port| load.ports.keys().any(|taken| taken.conflicts(port))) {
        return vec![Refusal::Ports];
    }
    let lacking = demand.requests.lacking(&offer.allocatable, &load.requested);
    let too_many = (load.pods + 1 > offer.pods_max).then_some(Refusal::TooManyPods);
    too_many.into_iter().chain(lacking.into_iter().map(Refusal::Insufficient)).collect()
}

pub(crate) fn tolerates(demand: &Demand, taint: &Taint) -> bool {
    demand.tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

fn unschedulable_taint() -> Taint {
    let key = "node.kubernetes.io/unschedulable".to_owned();
    Taint { key, value: String::new(), effect: "NoSchedule".to_owned() }
}
