//! A node: what it offers, what is on it, and whether a pod fits.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Node;

use crate::demand::{HostPort, Local};
use crate::profile::{Plugin, Profile};
use crate::refusal::{Refusal, Refusals};
use crate::resources::Resources;
use crate::taint::{Taint, Toleration};

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Resources,
    pub(crate) pods_max: i64,
    /// Bytes of the images that are there, by each of their names.
    pub(crate) images: HashMap<String, i64>,
}

impl Offer {
    pub(crate) fn read(node: &Node) -> Self {
        let (spec, status) = (node.spec.as_ref(), node.status.as_ref());
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        let pods_max = allocatable.and_then(|list| list.get("pods"));
        let pods_max = pods_max.and_then(|written| minato_quantity::Quantity::parse(&written.0).ok());
        let images = status.and_then(|status| status.images.as_ref()).into_iter().flatten();
        let images = images.flat_map(|image| {
            let size = image.size_bytes.unwrap_or_default();
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        });
        Self {
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten().map(Taint::read).collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
            allocatable: allocatable.map(Resources::read).unwrap_or_default(),
            pods_max: pods_max.map_or(0, |quantity| quantity.value()),
            images: images.collect(),
        }
    }
}

/// What is on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) requested: Resources,
    /// As [`Local::scored`].
    pub(crate) scored: [i64; 2],
    pub(crate) pods: i64,
    pub(crate) ports: BTreeMap<HostPort, u32>,
}

impl Load {
    pub(crate) fn add(&mut self, demand: &Local) {
        self.requested.add(&demand.requests);
        self.pods += 1;
        for (own, more) in self.scored.iter_mut().zip(demand.scored) {
            *own += more;
        }
        for port in &demand.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
    }

    pub(crate) fn subtract(&mut self, demand: &Local) {
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
        if !demand.ports.is_empty() {
            self.ports.retain(|_, count| *count > 0);
        }
    }
}

/// What speaks against the pod on this node whatever is on it. Like upstream, the first check that fails is reported.
pub(crate) fn fixed_refusal(profile: &Profile, demand: &Local, name: &str, offer: &Offer) -> Option<Refusal> {
    let filters = |plugin| profile.filters(plugin);
    if filters(Plugin::NodeUnschedulable)
        && offer.unschedulable
        && !tolerates(&demand.tolerations, &unschedulable_taint())
    {
        return Some(Refusal::Unschedulable);
    }
    if filters(Plugin::NodeName) && demand.node_name.as_ref().is_some_and(|wanted| wanted != name) {
        return Some(Refusal::NodeName);
    }
    if filters(Plugin::TaintToleration)
        && let Some(taint) = offer.taints.iter().find(|taint| taint.is_hard() && !tolerates(&demand.tolerations, taint))
    {
        return Some(Refusal::Taint { key: taint.key.clone(), value: taint.value.clone() });
    }
    if filters(Plugin::NodeAffinity) {
        if !profile.added_affinity.admits(name, &offer.labels) {
            return Some(Refusal::EnforcedAffinity);
        }
        if !demand.affinity.admits(name, &offer.labels) {
            return Some(Refusal::Affinity);
        }
    }
    None
}

/// What speaks against the pod because of what is on the node: its ports, or all the resources that are missing.
pub(crate) fn load_refusals(profile: &Profile, demand: &Local, offer: &Offer, load: &Load) -> Option<Refusals> {
    if profile.filters(Plugin::NodePorts)
        && demand.ports.iter().any(|port| load.ports.keys().any(|taken| taken.conflicts(port)))
    {
        return Some(Refusals::from(Refusal::Ports));
    }
    if !profile.filters(Plugin::NodeResourcesFit) {
        return None;
    }
    let too_many = load.pods + 1 > offer.pods_max;
    let lacking = demand.requests.lacking(&offer.allocatable, &load.requested, |name| profile.ignores(name));
    if !too_many && lacking.is_empty() {
        return None;
    }
    let is_final = lacking.iter().any(|lack| lack.exceeds_capacity());
    let lacking = lacking.into_iter().map(|lack| Refusal::Insufficient(lack.resource));
    Some(Refusals { reasons: too_many.then_some(Refusal::TooManyPods).into_iter().chain(lacking).collect(), is_final })
}

/// Both.
pub(crate) fn refusals(profile: &Profile, demand: &Local, name: &str, offer: &Offer, load: &Load) -> Option<Refusals> {
    fixed_refusal(profile, demand, name, offer)
        .map(Refusals::from)
        .or_else(|| load_refusals(profile, demand, offer, load))
}

/// Whether no taint of the node keeps the pod away.
pub(crate) fn tolerates_all(demand: &Local, offer: &Offer) -> bool {
    offer.taints.iter().all(|taint| !taint.is_hard() || tolerates(&demand.tolerations, taint))
}

/// How many taints of the node would rather not have the pod.
pub(crate) fn unwelcoming_taints(demand: &Local, offer: &Offer) -> i64 {
    let counts = |taint: &&Taint| taint.effect == "PreferNoSchedule" && !tolerates(&demand.tolerations, taint);
    offer.taints.iter().filter(counts).count() as i64
}

pub(crate) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

fn unschedulable_taint() -> Taint {
    let key = "node.kubernetes.io/unschedulable".to_owned();
    Taint { key, value: String::new(), effect: "NoSchedule".to_owned() }
}
