//! What DNS knows of the cluster: the little that names and answers need of namespaces, Services and EndpointSlices.
//!
//! The server makes it from the API's objects, the resolver holds it in its [`crate::table::Table`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

/// Names the Service that a slice belongs to.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The name of a Service or a slice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What is now so, of one object; `None`: it is gone, or has nothing to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Change {
    Namespace { name: String, exists: bool },
    Service(Key, Option<ServiceNames>),
    Slice(Key, Option<SliceNames>),
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceNames {
    pub(crate) target: Target,
    pub(crate) ports: Vec<Port>,
}

/// What a Service's name leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    ClusterIps(BTreeSet<IpAddr>),
    /// The endpoints of its slices.
    Headless,
    /// Another name.
    External(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Port {
    /// Empty where it has none.
    pub(crate) name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub(crate) protocol: String,
    pub(crate) number: u16,
}

/// The ready endpoints of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SliceNames {
    /// The Service's name, in the slice's namespace.
    pub(crate) service: String,
    pub(crate) ports: Vec<Port>,
    /// Each with its label: the hostname, else the address with dashes.
    pub(crate) endpoints: Vec<(String, IpAddr)>,
}

impl ServiceNames {
    pub(crate) fn of(service: &Service) -> Self {
        let spec = service.spec.clone().unwrap_or_default();
        let target = match (spec.type_.as_deref(), spec.external_name, spec.cluster_ip.as_deref()) {
            (Some("ExternalName"), Some(name), _) => Target::External(name),
            (_, _, Some("None")) => Target::Headless,
            (_, _, address) => {
                let all = spec.cluster_ips.iter().flatten().map(String::as_str).chain(address);
                Target::ClusterIps(all.filter_map(|address| address.parse().ok()).collect())
            }
        };
        let ports = spec.ports.into_iter().flatten();
        let ports = ports.filter_map(|port| Port::of(port.name, port.protocol, Some(port.port)));
        Self { target, ports: ports.collect() }
    }
}

impl SliceNames {
    /// None: it belongs to no Service, or nothing of it is ready.
    pub(crate) fn of(slice: &EndpointSlice) -> Option<Self> {
        let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?.clone();
        let ready =
            slice.endpoints.iter().flatten().filter(|endpoint| {
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
            });
        let endpoints: Vec<_> = ready
            .filter_map(|endpoint| {
                let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
                let label = endpoint.hostname.clone().filter(|hostname| !hostname.is_empty());
                Some((label.unwrap_or_else(|| address.to_string().replace(['.', ':'], "-")), address))
            })
            .collect();
        let ports = slice.ports.iter().flatten();
        let ports = ports.filter_map(|port| Port::of(port.name.clone(), port.protocol.clone(), port.port)).collect();
        (!endpoints.is_empty()).then_some(Self { service, ports, endpoints })
    }
}

impl Port {
    fn of(name: Option<String>, protocol: Option<String>, number: Option<i32>) -> Option<Self> {
        let protocol = protocol.unwrap_or_else(|| "TCP".to_owned());
        Some(Self { name: name.unwrap_or_default(), protocol, number: u16::try_from(number?).ok()? })
    }
}
