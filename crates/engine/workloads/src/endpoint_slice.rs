//! EndpointSlices: the pods behind a Service, in slices of at most a hundred.
//!
//! A change of one pod should change one slice, because every node watches them. So an endpoint stays in the slice it is
//! in, new ones fill the slices that change anyway, and only then others; slices are made and deleted last.

mod fill;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::ownership::controller_reference;
use crate::pod::is_ready;
use crate::service::{PodPort, hostname, in_order, is_headless, pod_addresses, pod_ports, target_reference};

/// Endpoints per slice, at most.
pub const ENDPOINTS_MAX: usize = 100;
/// The label that names a slice's Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who looks after a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// That label's value for slices that are planned here.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What a Service with a selector sees.
pub struct Observed<'a> {
    /// The Service.
    pub service: &'a Service,
    /// The pods that its selector selects.
    pub pods: &'a [Arc<Pod>],
    /// The slices that carry its name and [`MANAGER`].
    pub slices: &'a [Arc<EndpointSlice>],
    /// Zones of nodes (`topology.kubernetes.io/zone`), by node name.
    pub zones: &'a BTreeMap<String, String>,
}

/// What must be written so that the slices tell of the pods.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// New slices.
    pub create: Vec<EndpointSlice>,
    /// Slices as they should be.
    pub update: Vec<EndpointSlice>,
    /// Slices that nothing is left for.
    pub delete: Vec<Arc<EndpointSlice>>,
}

impl Plan {
    /// Whether the slices tell of the pods already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }
}

/// Endpoints with the same ports, which may share slices.
struct Group {
    ports: Vec<PodPort>,
    endpoints: Vec<Endpoint>,
}

/// Compares the slices with the pods.
#[must_use]
pub fn plan(observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = &observed.service.spec else { return plan };
    if observed.service.metadata.deletion_timestamp.is_some() {
        return plan; // the garbage collector takes the slices
    }
    let families = families(spec);
    let (mut slices, foreign): (Vec<_>, Vec<_>) = observed
        .slices
        .iter()
        .filter(|slice| slice.metadata.deletion_timestamp.is_none())
        .partition(|slice| families.contains(&slice.address_type.as_str()));
    plan.delete.extend(foreign.into_iter().cloned());
    slices.sort_by_key(|slice| slice.metadata.name.as_deref());
    for family in families {
        let of_family: Vec<&Arc<EndpointSlice>> =
            slices.iter().filter(|slice| slice.address_type == family).copied().collect();
        plan_family(observed, spec, family, &of_family, &mut plan);
    }
    plan
}

/// The address types that the Service asks for.
fn families(spec: &ServiceSpec) -> Vec<&'static str> {
    let named = |family: &str| if family == "IPv6" { "IPv6" } else { "IPv4" };
    let families: Vec<_> = spec.ip_families.iter().flatten().map(|family| named(family)).collect();
    if !families.is_empty() {
        return families;
    }
    let is_v6 = spec.cluster_ip.as_ref().is_some_and(|address| address.contains(':'));
    vec![if is_v6 { "IPv6" } else { "IPv4" }]
}

fn plan_family(
    observed: &Observed<'_>,
    spec: &ServiceSpec,
    family: &'static str,
    slices: &[&Arc<EndpointSlice>],
    plan: &mut Plan,
) {
    let mut groups = groups(observed, spec, family);
    if groups.is_empty() {
        // A Service that nothing is behind has one empty slice, so that whoever waits for endpoints sees there are none.
        let ports = slices.iter().find(|slice| slice.endpoints.as_ref().is_none_or(Vec::is_empty));
        let ports = ports.map(|slice| ports_of(slice)).unwrap_or_default();
        groups.push(Group { ports, endpoints: Vec::new() });
    }
    let placeholder = groups.iter().all(|group| group.endpoints.is_empty());
    let metadata = metadata(observed.service);
    let (mut kept, mut unwanted): (Vec<&Arc<EndpointSlice>>, Vec<_>) = (Vec::new(), slices.to_vec());
    for group in groups {
        let (mine, others): (Vec<_>, Vec<_>) = unwanted.into_iter().partition(|slice| ports_of(slice) == group.ports);
        unwanted = others;
        let filled = fill::fill(&mine, group.endpoints, placeholder);
        for (slice, endpoints) in filled.kept {
            let renewed = renewed(slice, &metadata, endpoints);
            if renewed != **slice {
                plan.update.push(renewed);
            }
            kept.push(slice);
        }
        unwanted.extend(filled.emptied);
        for endpoints in filled.new {
            plan.create.push(EndpointSlice {
                metadata: metadata.clone(),
                address_type: family.to_owned(),
                ports: Some(group.ports.iter().map(port).collect()),
                endpoints: Some(endpoints),
            });
        }
    }
    plan.delete.extend(unwanted.into_iter().cloned());
}

/// The pods as endpoints, by the ports they serve.
fn groups(observed: &Observed<'_>, spec: &ServiceSpec, family: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for pod in in_order(observed.pods) {
        let Some(endpoint) = endpoint(observed, spec, family, pod) else { continue };
        let ports = pod_ports(spec, pod);
        match groups.iter_mut().find(|group| group.ports == ports) {
            Some(group) => group.endpoints.push(endpoint),
            None => groups.push(Group { ports, endpoints: vec![endpoint] }),
        }
    }
    groups
}

fn endpoint(observed: &Observed<'_>, spec: &ServiceSpec, family: &str, pod: &Pod) -> Option<Endpoint> {
    let is_of_family =
        |address: &&str| address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == (family == "IPv6"));
    let address = pod_addresses(pod).into_iter().find(is_of_family)?;
    let serving = is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let ready = spec.publish_not_ready_addresses == Some(true) || (serving && !terminating);
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let zone = node_name.as_ref().and_then(|node| observed.zones.get(node)).cloned();
    Some(Endpoint {
        hints: hints(spec, ready, node_name.as_deref(), zone.as_deref()),
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(observed.service, pod).map(str::to_owned),
        zone,
        node_name,
        target_ref: Some(target_reference(pod)),
        ..Endpoint::default()
    })
}

/// For whom an endpoint is, as the Service's `trafficDistribution` asks: for its own zone, and before that for its own
/// node. For nobody in particular while it is not ready.
fn hints(spec: &ServiceSpec, ready: bool, node: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let by_node = match spec.traffic_distribution.as_deref()? {
        "PreferClose" | "PreferSameZone" => false,
        "PreferSameNode" => true,
        _ => return None,
    };
    let name = |name: &str| name.to_owned();
    let for_zones = zone.map(|zone| vec![ForZone { name: name(zone) }]);
    let for_nodes = node.filter(|_| by_node).map(|node| vec![ForNode { name: name(node) }]);
    (ready && (for_zones.is_some() || for_nodes.is_some())).then_some(EndpointHints { for_nodes, for_zones })
}

fn port(port: &PodPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn ports_of(slice: &EndpointSlice) -> Vec<PodPort> {
    let ports = slice.ports.iter().flatten().map(|port| PodPort {
        name: port.name.clone().unwrap_or_default(),
        port: port.port.unwrap_or(0),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

/// The metadata of a new slice: the Service's labels and ours.
fn metadata(service: &Service) -> ObjectMeta {
    let name = service.metadata.name.clone().unwrap_or_default();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![controller_reference("v1", "Service", &service.metadata)]),
        ..ObjectMeta::default()
    }
}

/// The slice with these endpoints, its labels and its owner brought up to date.
fn renewed(slice: &EndpointSlice, metadata: &ObjectMeta, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut renewed = slice.clone();
    renewed.metadata.labels.clone_from(&metadata.labels);
    let owner = metadata.owner_references.as_ref().and_then(|owners| owners.first());
    let uid = owner.map(|owner| &owner.uid);
    if !slice.metadata.owner_references.iter().flatten().any(|found| Some(&found.uid) == uid) {
        renewed.metadata.owner_references.clone_from(&metadata.owner_references);
    }
    if slice.endpoints.as_deref().unwrap_or_default() != endpoints {
        renewed.endpoints = Some(endpoints);
    }
    renewed
}

#[cfg(test)]
pub(crate) mod tests;
