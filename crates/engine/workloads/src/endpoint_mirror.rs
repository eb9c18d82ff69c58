//! EndpointSlices that mirror the Endpoints which users write for Services without a selector (KEP-1713), so that who
//! reads slices alone sees them too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{self as core, EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::endpoint_slice::{MANAGED_BY, Plan, SERVICE_NAME};
use crate::ownership::controller_reference;

/// The value of the label [`MANAGED_BY`] of mirrored slices.
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Endpoints per slice, and mirrored addresses per subset, at most.
pub const ADDRESSES_MAX: usize = 1000;
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations of the Endpoints that say nothing of the slices.
const OWN_ANNOTATIONS: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// Whether `endpoints` are to be mirrored: their Service selects no pods, and nobody said otherwise.
#[must_use]
pub fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key: &str, value: Option<&str>| {
        let found = map.as_ref().and_then(|map| map.get(key));
        found.is_some_and(|found| value.is_none_or(|value| found == value))
    };
    let metadata = &endpoints.metadata;
    let selects = |service: &Service| service.spec.as_ref().is_some_and(|spec| spec.selector.is_some());
    metadata.deletion_timestamp.is_none()
        && !has(&metadata.labels, SKIP_MIRROR, Some("true"))
        && !has(&metadata.annotations, LEADER, None)
        && service.is_some_and(|service| !selects(service))
}

/// Endpoints that may share slices.
struct Group {
    family: &'static str,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

/// What must be written so that `slices`, those of the Endpoints' name and [`MANAGER`], tell what the Endpoints tell.
#[must_use]
pub fn plan(endpoints: &Endpoints, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let metadata = metadata(endpoints);
    let mut left: Vec<&Arc<EndpointSlice>> =
        slices.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()).collect();
    left.sort_by_key(|slice| slice.metadata.name.as_deref());
    for group in groups(endpoints) {
        for chunk in group.endpoints.chunks(ADDRESSES_MAX) {
            let fits = |slice: &&Arc<EndpointSlice>| {
                slice.address_type == group.family && slice.ports.as_deref().unwrap_or_default() == group.ports
            };
            let Some(at) = left.iter().position(fits) else {
                plan.create.push(EndpointSlice {
                    metadata: metadata.clone(),
                    address_type: group.family.to_owned(),
                    ports: Some(group.ports.clone()),
                    endpoints: Some(chunk.to_vec()),
                });
                continue;
            };
            let found = left.remove(at);
            let mut renewed = EndpointSlice::clone(found);
            renewed.metadata.labels.clone_from(&metadata.labels);
            renewed.metadata.annotations.clone_from(&metadata.annotations);
            if found.endpoints.as_deref().unwrap_or_default() != chunk {
                renewed.endpoints = Some(chunk.to_vec());
            }
            if renewed != **found {
                plan.update.push(renewed);
            }
        }
    }
    plan.delete.extend(left.into_iter().cloned());
    plan
}

fn groups(endpoints: &Endpoints) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        for (address, ready) in addresses(subset).take(ADDRESSES_MAX) {
            let Ok(parsed) = address.ip.parse::<IpAddr>() else { continue };
            let family = if parsed.is_ipv6() { "IPv6" } else { "IPv4" };
            let endpoint = endpoint(address, ready);
            match groups.iter_mut().find(|group| group.family == family && group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { family, ports: ports.clone(), endpoints: vec![endpoint] }),
            }
        }
    }
    groups
}

/// A subset's addresses, those that are ready first.
fn addresses(subset: &EndpointSubset) -> impl Iterator<Item = (&EndpointAddress, bool)> {
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    ready.chain(subset.not_ready_addresses.iter().flatten().map(|address| (address, false)))
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn port(port: &core::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    }
}

/// The metadata of a new slice: the labels and annotations of the Endpoints, and ours.
fn metadata(endpoints: &Endpoints) -> ObjectMeta {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: endpoints.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        owner_references: Some(vec![controller_reference("v1", "Endpoints", &endpoints.metadata)]),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn endpoints(subsets: Value) -> Endpoints {
        serde_json::from_value(json!({"metadata": {"name": "e", "namespace": "n", "uid": "u", "labels": {"a": "b"}},
            "subsets": subsets}))
        .unwrap()
    }

    /// The slices after a plan, as the API server would store them.
    fn carried_out(slices: &[Arc<EndpointSlice>], plan: Plan) -> Vec<Arc<EndpointSlice>> {
        let name = |slice: &EndpointSlice| slice.metadata.name.clone();
        let mut after: Vec<Arc<EndpointSlice>> = slices.to_vec();
        after.retain(|slice| !plan.delete.iter().any(|gone| name(gone) == name(slice)));
        for slice in plan.update {
            after.retain(|old| name(old) != name(&slice));
            after.push(Arc::new(slice));
        }
        for (index, mut slice) in plan.create.into_iter().enumerate() {
            slice.metadata.name = Some(format!("e-{}-{index}", after.len()));
            after.push(Arc::new(slice));
        }
        after
    }

    #[test]
    fn slices_follow_the_endpoints_and_settle() {
        let mut slices = Vec::new();
        for (subsets, expected) in [
            (
                json!([{"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2", "hostname": "h"}],
                    "ports": [{"port": 80}]}]),
                vec!["IPv4 80 10.0.0.1+ 10.0.0.2-"],
            ),
            (
                json!([{"addresses": [{"ip": "10.0.0.3"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]},
                    {"addresses": [{"ip": "10.0.0.4"}], "ports": [{"name": "x", "port": 81}]}]),
                vec!["IPv4 80 10.0.0.3+", "IPv4 81 10.0.0.4+", "IPv6 80 fd00::1+"],
            ),
            (json!([]), vec![]),
        ] {
            let endpoints = endpoints(subsets);
            let plan = plan(&endpoints, &slices);
            slices = carried_out(&slices, plan);
            let mut told: Vec<String> = slices.iter().map(|slice| words(slice)).collect();
            told.sort();
            assert_eq!(told, expected);
            assert!(super::plan(&endpoints, &slices).is_empty());
        }
    }

    fn words(slice: &EndpointSlice) -> String {
        let ports: Vec<String> = slice.ports.iter().flatten().map(|port| port.port.unwrap().to_string()).collect();
        let mut words = vec![slice.address_type.clone(), ports.join(",")];
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true);
            words.push(format!("{}{}", endpoint.addresses[0], if ready { "+" } else { "-" }));
        }
        words.join(" ")
    }

    #[test]
    fn what_is_mirrored() {
        let service = |spec: Value| -> Service { serde_json::from_value(json!({"spec": spec})).unwrap() };
        let plain = endpoints(json!([]));
        let (without, with) = (service(json!({})), service(json!({"selector": {"a": "b"}})));
        assert!(is_mirrored(&plain, Some(&without)));
        assert!(!is_mirrored(&plain, Some(&with)));
        assert!(!is_mirrored(&plain, None));
        let mut skipped = plain.clone();
        skipped.metadata.labels = Some(BTreeMap::from([(SKIP_MIRROR.to_owned(), "true".to_owned())]));
        let mut leads = plain;
        leads.metadata.annotations = Some(BTreeMap::from([(LEADER.to_owned(), "{}".to_owned())]));
        assert!(!is_mirrored(&skipped, Some(&without)) && !is_mirrored(&leads, Some(&without)));
    }
}
