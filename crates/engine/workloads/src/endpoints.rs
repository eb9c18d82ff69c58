//! Endpoints: what EndpointSlices replaced, still kept for those who read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::pod::{is_ready, phase};
use crate::service::{PodPort, hostname, in_order, is_headless, pod_addresses, pod_ports, target_reference};

/// Addresses in one object, at most; [`OVER_CAPACITY`] says that there are more.
pub const ADDRESSES_MAX: usize = 1000;
/// The annotation of an object that does not hold all addresses.
pub const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The label of objects that are planned here.
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The Endpoints object to write so that it tells of `pods`, which the Service's selector selects; none if `current`
/// does already.
#[must_use]
pub fn plan(service: &Service, pods: &[Arc<Pod>], current: Option<&Endpoints>) -> Option<Endpoints> {
    let spec = service.spec.as_ref()?;
    if service.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (subsets, over_capacity) = subsets(service, spec, pods);
    let mut metadata = current.map_or_else(
        || ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        |current| current.metadata.clone(),
    );
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    metadata.labels = Some(labels);
    let mut annotations = metadata.annotations.take().unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if over_capacity {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    metadata.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
    let same = |current: &Endpoints| {
        current.metadata == metadata && current.subsets.as_deref().unwrap_or_default() == subsets.as_slice()
    };
    if current.is_some_and(same) {
        return None;
    }
    Some(Endpoints { metadata, subsets: Some(subsets).filter(|subsets| !subsets.is_empty()) })
}

#[derive(Default)]
struct Addresses {
    ready: Vec<EndpointAddress>,
    not_ready: Vec<EndpointAddress>,
}

fn subsets(service: &Service, spec: &ServiceSpec, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let publish_not_ready = spec.publish_not_ready_addresses == Some(true);
    let is_v6 = spec.ip_families.iter().flatten().next().is_some_and(|family| family == "IPv6");
    let mut by_ports: BTreeMap<Vec<PodPort>, Addresses> = BTreeMap::new();
    let mut count = 0;
    for pod in in_order(pods) {
        if pod.metadata.deletion_timestamp.is_some() && !publish_not_ready {
            continue;
        }
        let Some(ip) = pod_addresses(pod).into_iter().find(|address| address.contains(':') == is_v6) else { continue };
        let ports = pod_ports(spec, pod);
        if ports.is_empty() && !(is_headless(service) && spec.ports.as_ref().is_none_or(Vec::is_empty)) {
            continue;
        }
        count += 1;
        if count > ADDRESSES_MAX {
            continue;
        }
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: hostname(service, pod).map(str::to_owned),
            node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            target_ref: Some(target_reference(pod)),
        };
        let addresses = by_ports.entry(ports).or_default();
        if publish_not_ready || is_ready(pod) {
            addresses.ready.push(address);
        } else if may_become_ready(pod) {
            addresses.not_ready.push(address);
        }
    }
    let some = |mut addresses: Vec<EndpointAddress>| {
        addresses.sort_by(|a, b| a.ip.cmp(&b.ip));
        (!addresses.is_empty()).then_some(addresses)
    };
    let subsets = by_ports.into_iter().map(|(ports, addresses)| EndpointSubset {
        addresses: some(addresses.ready),
        not_ready_addresses: some(addresses.not_ready),
        ports: Some(ports.into_iter().map(port).collect()).filter(|ports: &Vec<_>| !ports.is_empty()),
    });
    let subsets = subsets.filter(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (subsets.collect(), count > ADDRESSES_MAX)
}

/// Whether the pod may run (again), as its restart policy says.
fn may_become_ready(pod: &Pod) -> bool {
    match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
        Some("Never") => !matches!(phase(pod), "Failed" | "Succeeded"),
        Some("OnFailure") => phase(pod) != "Succeeded",
        _ => true,
    }
}

fn port(port: PodPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name).filter(|name| !name.is_empty()),
        port: port.port,
        protocol: Some(port.protocol),
        app_protocol: port.app_protocol,
    }
}

#[cfg(test)]
mod tests;
