//! Which address a proxied name stands for.

use std::net::IpAddr;

use minato_mvcc::Key;
use serde_json::Value;

use crate::call::Call;
use crate::status::ApiError;
use crate::tunnel::{Kubelet, kubelet_of};
use crate::write::parse;

/// Where a request is handed on to.
pub(super) enum Target {
    /// To a node's kubelet, with the API server's own certificate.
    Kubelet(Kubelet),
    /// To an address in the cluster.
    Address { host: String, port: u16, encrypted: bool },
}

/// `[scheme:]name[:port]` of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let named = match *parts.as_slice() {
            [name] => Self { scheme: "", name, port: "" },
            [name, port] => Self { scheme: "", name, port },
            [scheme, name, port] => Self { scheme, name, port },
            _ => return None,
        };
        (!named.name.is_empty() && matches!(named.scheme, "" | "http" | "https")).then_some(named)
    }

    fn encrypted(&self) -> bool {
        self.scheme == "https"
    }

    fn default_port(&self) -> u16 {
        if self.encrypted() { 443 } else { 80 }
    }
}

/// The target of `name` among the call's resource.
pub(super) fn locate(call: &Call, name: &str) -> Result<Target, ApiError> {
    let declaration = &call.resource.declaration;
    let singular = &declaration.singular;
    let named =
        Named::parse(name).ok_or_else(|| ApiError::bad_request(format!("invalid {singular} request {name:?}")))?;
    match &*declaration.resource {
        "services" => service(call, &named, name),
        "nodes" => node(call, &named),
        _ => pod(call, &named),
    }
}

fn found(call: &Call, name: &str) -> Result<Value, ApiError> {
    parse(&*call.core.memory().get(&call.target().key_of(name)).ok_or_else(|| call.resource.not_found(name))?)
}

fn pod(call: &Call, named: &Named<'_>) -> Result<Target, ApiError> {
    let pod = found(call, named.name)?;
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let declared = containers
        .filter_map(|container| container["ports"].as_array()?.first()?["containerPort"].as_u64())
        .map(|port| port.to_string())
        .next();
    let port = match (named.port, declared) {
        ("", None) => named.default_port(),
        ("", Some(declared)) => parse_port(&declared)?,
        (given, _) => parse_port(given)?,
    };
    let host = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    check_address(&host)?;
    Ok(Target::Address { host, port, encrypted: named.encrypted() })
}

fn node(call: &Call, named: &Named<'_>) -> Result<Target, ApiError> {
    let kubelet = kubelet_of(&call.core, named.name)?;
    if named.port.is_empty() || named.port == kubelet.port.to_string() {
        return Ok(Target::Kubelet(kubelet));
    }
    check_address(&kubelet.host)?;
    Ok(Target::Address { host: kubelet.host, port: parse_port(named.port)?, encrypted: named.encrypted() })
}

fn service(call: &Call, named: &Named<'_>, asked: &str) -> Result<Target, ApiError> {
    let service = found(call, named.name)?;
    let mut port = named.port.to_owned();
    if let Ok(number) = named.port.parse::<u64>() {
        let ports = service["spec"]["ports"].as_array().into_iter().flatten();
        let declared = ports.into_iter().find(|port| port["port"].as_u64() == Some(number));
        let declared = declared.ok_or_else(|| {
            ApiError::unavailable(format!("no service port {number} found for service {:?}", named.name))
        })?;
        port = declared["name"].as_str().unwrap_or_default().to_owned();
    }
    let endpoints = endpoints_of(call, named.name, &port)?;
    if endpoints.is_empty() {
        return Err(ApiError::unavailable(format!("no endpoints available for service {asked:?}")));
    }
    // Any of them, another one each time.
    let any = uuid::Uuid::new_v4().as_u128() as usize % endpoints.len();
    let (host, port) = endpoints[any].clone();
    Ok(Target::Address { host, port, encrypted: named.encrypted() })
}

/// Ready addresses behind `port` of a service that belong to pods of its namespace: an address that somebody only wrote
/// down could be any host's.
fn endpoints_of(call: &Call, service: &str, port: &str) -> Result<Vec<(String, u16)>, ApiError> {
    let mut all = Vec::new();
    let slices = call.core.memory().snapshot("discovery.k8s.io/endpointslices");
    let of_service = slices.iter().filter(|slice| {
        *slice.key.namespace == *call.namespace && slice.attributes.label("kubernetes.io/service-name") == Some(service)
    });
    for slice in of_service {
        let slice = parse(slice)?;
        let ports = slice["ports"].as_array().into_iter().flatten();
        let number = ports
            .filter(|have| have["name"].as_str().unwrap_or_default() == port)
            .find_map(|have| u16::try_from(have["port"].as_u64()?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"].as_bool() == Some(false) {
                continue;
            }
            let addresses = endpoint["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
            all.extend(addresses.filter(|a| is_of_pod(call, endpoint, a)).map(|a| (a.to_owned(), number)));
        }
    }
    Ok(all)
}

fn is_of_pod(call: &Call, endpoint: &Value, address: &str) -> bool {
    let target = &endpoint["targetRef"];
    if target["kind"] != "Pod" || target["namespace"] != call.namespace.as_str() {
        return false;
    }
    let key = Key::new("core/pods", call.namespace.as_str(), target["name"].as_str().unwrap_or_default());
    let Some(pod) = call.core.memory().get(&key).and_then(|pod| parse(&pod).ok()) else { return false };
    let addresses = pod["status"]["podIPs"].as_array().into_iter().flatten();
    addresses.into_iter().any(|have| have["ip"] == address)
}

fn parse_port(text: &str) -> Result<u16, ApiError> {
    text.parse::<u16>()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| ApiError::bad_request(format!("invalid port {text:?}: must be a number from 1 to 65535")))
}

/// A proxied request must not reach what listens on this machine alone.
fn check_address(address: &str) -> Result<(), ApiError> {
    let allowed = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_broadcast())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local())
        }
        Err(_) => false,
    };
    if allowed { Ok(()) } else { Err(ApiError::bad_request("address not allowed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let named = |scheme, name, port| Some(Named { scheme, name, port });
        for (text, expected) in [
            ("web", named("", "web", "")),
            ("web:80", named("", "web", "80")),
            ("web:", named("", "web", "")),
            ("https:web:", named("https", "web", "")),
            ("http:web:metrics", named("http", "web", "metrics")),
            ("ftp:web:21", None),
            (":80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(Named::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses() {
        for (address, allowed) in [
            ("10.42.0.7", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("::1", false),
            ("", false),
        ] {
            assert_eq!(check_address(address).is_ok(), allowed, "{address}");
        }
    }
}
