//! What one Service asks of the packet filter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};

use crate::{Endpoint, Frontend, Protocol, Refusal};

/// Labels of Services that are not for this proxy: somebody brings their own, or there is nothing to balance.
const OTHERS_LABELS: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];
/// Kubernetes' default for `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: u32 = 10_800;

/// What one frontend does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Spreads packets over these endpoints, never none.
    Serve {
        /// Where to.
        endpoints: BTreeSet<Endpoint>,
        /// For how many seconds a client sticks to its endpoint.
        affinity_seconds: Option<u32>,
    },
    /// Turns packets away.
    Refuse(Refusal),
}

/// What one Service, or one pod with host ports, asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    /// What each of its frontends does.
    pub frontends: BTreeMap<Frontend, Action>,
    /// Addresses of endpoints on this node, which may reach themselves through the Service.
    pub hairpins: BTreeSet<Ipv4Addr>,
    /// Its virtual addresses.
    pub cluster_ips: BTreeSet<Ipv4Addr>,
}

/// Where the rules are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The node's name.
    pub node_name: &'a str,
    /// Its zone (`topology.kubernetes.io/zone`), if it has one.
    pub zone: Option<&'a str>,
}

/// What `service` asks for at `place`, its endpoints being those in `slices` (all slices of the Service).
#[must_use]
pub fn plan_service(service: &Service, slices: &[&EndpointSlice], place: Place<'_>) -> ServiceRules {
    let mut rules = ServiceRules::default();
    let labels = service.metadata.labels.as_ref();
    let for_others = labels.is_some_and(|labels| OTHERS_LABELS.iter().any(|label| labels.contains_key(*label)));
    let Some(spec) = &service.spec else { return rules };
    if for_others || spec.type_.as_deref() == Some("ExternalName") {
        return rules;
    }
    let cluster_ips = cluster_ips(spec);
    if cluster_ips.is_empty() {
        return rules;
    }
    let external = external_ips(service, spec);
    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::from_name(port.protocol.as_deref()) else { continue };
        let usable = Usable::of(port, protocol, slices, place);
        let mut add = |address: Ipv4Addr, number: i32, local: bool| {
            let Some(number) = port_number(number) else { return };
            let frontend = Frontend { address, protocol, port: number };
            rules.frontends.insert(frontend, usable.action(local, affinity_seconds(spec)));
        };
        cluster_ips.iter().for_each(|address| add(*address, port.port, internal_local));
        external.iter().for_each(|address| add(*address, port.port, external_local));
        if let Some(node_port) = port.node_port.filter(|number| *number != 0) {
            add(Frontend::ANY_NODE_ADDRESS, node_port, external_local);
        }
        rules.hairpins.extend(usable.here.iter().map(|endpoint| endpoint.address));
    }
    rules.cluster_ips = cluster_ips;
    rules
}

/// The endpoints of one port that may get traffic.
struct Usable {
    all: BTreeSet<Endpoint>,
    here: BTreeSet<Endpoint>,
}

impl Usable {
    /// Ready ones; where there are none, those that end but still serve (KEP-1669), apart for all nodes and this one. Of
    /// all nodes' only those that are meant for this place, where hints say so.
    fn of(port: &ServicePort, protocol: Protocol, slices: &[&EndpointSlice], place: Place<'_>) -> Self {
        let found: Vec<(Endpoint, &SliceEndpoint)> = endpoints_of_port(port, protocol, slices).collect();
        let hinted = Hint::of(&found, place);
        let pick = |here: bool| {
            let is_candidate = |endpoint: &SliceEndpoint| match here {
                true => endpoint.node_name.as_deref() == Some(place.node_name),
                false => hinted.is_none_or(|hint| hint.is_for(endpoint, place)),
            };
            let of_state = |wanted: fn(&SliceEndpoint) -> bool| -> BTreeSet<Endpoint> {
                let matching = found.iter().filter(|(_, state)| is_candidate(state) && wanted(state));
                matching.map(|(endpoint, _)| *endpoint).collect()
            };
            let ready = of_state(is_ready);
            if ready.is_empty() { of_state(is_serving_to_the_end) } else { ready }
        };
        Self { all: pick(false), here: pick(true) }
    }

    fn action(&self, local: bool, affinity_seconds: Option<u32>) -> Action {
        let endpoints = if local { &self.here } else { &self.all };
        match (endpoints.is_empty(), self.all.is_empty()) {
            (false, _) => Action::Serve { endpoints: endpoints.clone(), affinity_seconds },
            (true, true) => Action::Refuse(Refusal::Reject),
            (true, false) => Action::Refuse(Refusal::Drop),
        }
    }
}

/// Whose hints choose among the endpoints, as kube-proxy takes them: those for nodes before those for zones, each only
/// where every ready endpoint has one and some are for this place.
#[derive(Clone, Copy)]
enum Hint {
    Node,
    Zone,
}

impl Hint {
    fn of(found: &[(Endpoint, &SliceEndpoint)], place: Place<'_>) -> Option<Self> {
        let ready: Vec<&SliceEndpoint> =
            found.iter().map(|(_, state)| *state).filter(|state| is_ready(state)).collect();
        [Self::Node, Self::Zone].into_iter().find(|hint| {
            let all = ready.iter().all(|state| hint.names(state).next().is_some());
            all && ready.iter().any(|state| hint.is_for(state, place))
        })
    }

    fn names<'a>(self, endpoint: &'a SliceEndpoint) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let Some(hints) = &endpoint.hints else { return Box::new(std::iter::empty()) };
        match self {
            Self::Node => Box::new(hints.for_nodes.iter().flatten().map(|hint| hint.name.as_str())),
            Self::Zone => Box::new(hints.for_zones.iter().flatten().map(|hint| hint.name.as_str())),
        }
    }

    fn is_for(self, endpoint: &SliceEndpoint, place: Place<'_>) -> bool {
        let wanted = match self {
            Self::Node => Some(place.node_name),
            Self::Zone => place.zone,
        };
        wanted.is_some_and(|wanted| self.names(endpoint).any(|name| name == wanted))
    }
}

/// Slices belong to a Service's port by the port's name; their number is already the target's.
fn endpoints_of_port<'a>(
    port: &'a ServicePort,
    protocol: Protocol,
    slices: &'a [&'a EndpointSlice],
) -> impl Iterator<Item = (Endpoint, &'a SliceEndpoint)> {
    let name = port.name.as_deref().unwrap_or_default();
    slices.iter().filter(|slice| slice.address_type == "IPv4").flat_map(move |slice| {
        let numbers = slice.ports.iter().flatten().filter(move |candidate| {
            candidate.name.as_deref().unwrap_or_default() == name
                && Protocol::from_name(candidate.protocol.as_deref()) == Some(protocol)
        });
        numbers.filter_map(|candidate| port_number(candidate.port?)).flat_map(|port| {
            slice.endpoints.iter().flatten().filter_map(move |endpoint| {
                let address = endpoint.addresses.first()?.parse().ok()?;
                Some((Endpoint { address, port }, endpoint))
            })
        })
    })
}

/// An absent `ready` means ready.
fn is_ready(endpoint: &SliceEndpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn is_serving_to_the_end(endpoint: &SliceEndpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|conditions| {
        conditions.serving.unwrap_or(conditions.ready.unwrap_or(true)) && conditions.terminating.unwrap_or(false)
    })
}

/// The IPv4 ones; none for a headless Service.
fn cluster_ips(spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    all.filter_map(|address| address.parse().ok()).collect()
}

/// External addresses and those of load balancers that do not proxy themselves.
fn external_ips(service: &Service, spec: &ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let balanced = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let balanced = balanced
        .filter(|_| spec.type_.as_deref() == Some("LoadBalancer"))
        .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.as_ref());
    spec.external_ips.iter().flatten().chain(balanced).filter_map(|address| address.parse().ok()).collect()
}

fn affinity_seconds(spec: &ServiceSpec) -> Option<u32> {
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|config| config.timeout_seconds);
        seconds
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .unwrap_or(AFFINITY_SECONDS)
    })
}

/// Zero and what does not fit is no port.
pub(crate) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
