//! What a Service makes of a pod: whether it is behind it, under which address, on which ports.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pod::is_finished;

/// The labels that a pod behind the Service has. None where somebody else looks after its endpoints: a Service without
/// selector, or an ExternalName.
#[must_use]
pub fn pod_selector(service: &Service) -> Option<&std::collections::BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

/// Whether the Service has no virtual IP.
#[must_use]
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

/// Whether all of `selector` are labels of the pod.
#[must_use]
pub fn selects(selector: &std::collections::BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// All addresses of a pod that can be behind a Service: it has some and has not ended.
#[must_use]
pub fn pod_addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = pod.status.as_ref().filter(|_| !is_finished(pod)) else { return Vec::new() };
    let mut addresses: Vec<&str> = status.pod_ips.iter().flatten().map(|pod_ip| pod_ip.ip.as_str()).collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip.as_deref());
    }
    addresses.retain(|address| !address.is_empty());
    addresses
}

/// A service port as one pod serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodPort {
    /// The service port's name; may be empty.
    pub name: String,
    /// The number in the pod.
    pub port: i32,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The application protocol, as a hint.
    pub app_protocol: Option<String>,
}

/// The ports of the Service that the pod serves. A named target port that the pod does not declare is left out.
#[must_use]
pub fn pod_ports(spec: &ServiceSpec, pod: &Pod) -> Vec<PodPort> {
    let ports = spec.ports.iter().flatten();
    let resolved = ports.filter_map(|port| {
        Some(PodPort {
            name: port.name.clone().unwrap_or_default(),
            port: target_port(port, pod)?,
            protocol: protocol_of(port.protocol.as_deref()).to_owned(),
            app_protocol: port.app_protocol.clone(),
        })
    });
    resolved.collect()
}

fn protocol_of(protocol: Option<&str>) -> &str {
    protocol.unwrap_or("TCP")
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => return Some(port.port),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten().filter(is_sidecar));
    let mut declared = containers.flat_map(|container| container.ports.iter().flatten());
    let wanted = protocol_of(port.protocol.as_deref());
    declared
        .find(|declared| declared.name.as_ref() == Some(name) && protocol_of(declared.protocol.as_deref()) == wanted)
        .map(|declared| declared.container_port)
}

/// The pod's own name below the Service, where it asks for one (`spec.hostname` and `spec.subdomain`).
#[must_use]
pub fn hostname<'a>(service: &Service, pod: &'a Pod) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.as_deref().filter(|hostname| below && !hostname.is_empty())
}

/// The reference to a pod that endpoints carry.
#[must_use]
pub fn target_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Pods behind a Service in a stable order, so that the same world always gives the same endpoints.
#[must_use]
pub fn in_order(pods: &[Arc<Pod>]) -> Vec<&Arc<Pod>> {
    let mut ordered: Vec<&Arc<Pod>> = pods.iter().collect();
    ordered.sort_by_key(|pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.name.clone()));
    ordered
}
