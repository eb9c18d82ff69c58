//! Cluster IPs and node ports of services (upstream's `registry/core/service` allocators; one address family, IPv4).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
use minato_mvcc::Memory;
use serde_json::{Value, json};

use super::addresses::Addresses;
use super::pool::{Pool, Refusal};
use super::{Companion, Reservation, Reserve};
use crate::object;

/// From where ports of services are taken; their addresses are those of the ServiceCIDRs.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRanges {
    /// Ports that a service can have on every node.
    pub(crate) node_ports: RangeInclusive<u16>,
}

/// The allocator of services.
pub(crate) struct Services {
    ranges: ServiceRanges,
    addresses: Addresses,
    ports: Pool,
}

/// What one service holds. A node port is one number for all protocols, as long as the protocols differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holdings {
    addresses: BTreeSet<u32>,
    ports: BTreeSet<u32>,
}

impl Services {
    /// An allocator that knows what the services stored in `memory` hold.
    pub(crate) fn new(ranges: ServiceRanges, memory: &Memory) -> Self {
        let ports = u32::from(*ranges.node_ports.start())..=u32::from(*ranges.node_ports.end());
        let reserved_ports = ((ports.end() - ports.start() + 1) / 32).clamp(16, 128);
        let allocator =
            Self { addresses: Addresses::new(memory.clone()), ports: Pool::new(ports, reserved_ports), ranges };
        let services = memory.snapshot("core/services");
        for service in services.iter().filter_map(|object| crate::write::parse(object).ok()) {
            let holdings = holdings(&service);
            for address in holdings.addresses {
                if !allocator.addresses.note(address) {
                    tracing::warn!(address = %Ipv4Addr::from(address), "a stored service has an address that is not its alone");
                }
            }
            for port in holdings.ports {
                if allocator.ports.take(port).is_err() {
                    tracing::warn!(port, "a stored service has a node port that is out of range or not its alone");
                }
            }
        }
        allocator
    }

    fn give_back(&self, holdings: &Holdings) {
        holdings.addresses.iter().for_each(|address| self.addresses.give_back(*address));
        holdings.ports.iter().for_each(|port| self.ports.give_back(*port));
    }

    fn take_address(&self, service: &mut Value, had: &Holdings, got: &mut Holdings) -> Result<(), FieldError> {
        let asked = service["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
        let error = |address: &str, detail: String| FieldError {
            path: FieldPath::new("spec.clusterIPs"),
            kind: FieldErrorKind::Invalid,
            value: json!([address]),
            detail: format!("failed to allocate IP {address}: {detail}"),
        };
        let address = if asked.is_empty() {
            let number = self.addresses.take_any().map_err(|_| FieldError {
                path: FieldPath::new("spec.clusterIPs"),
                kind: FieldErrorKind::Internal,
                value: Value::Null,
                detail: format!("failed to allocate a serviceIP: range {} is full", self.addresses.words()),
            })?;
            got.addresses.insert(number);
            Ipv4Addr::from(number)
        } else {
            // What is not an address at all is left to the validation.
            let Ok(address) = asked.parse::<Ipv4Addr>() else { return Ok(()) };
            let number = u32::from(address);
            if !had.addresses.contains(&number) {
                self.addresses.take(number).map_err(|refusal| match refusal {
                    Refusal::OutOfRange => error(
                        &asked,
                        format!(
                            "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {}",
                            self.addresses.words()
                        ),
                    ),
                    Refusal::Taken | Refusal::Exhausted => error(&asked, "provided IP is already allocated".to_owned()),
                })?;
                got.addresses.insert(number);
            }
            address
        };
        service["spec"]["clusterIP"] = address.to_string().into();
        service["spec"]["clusterIPs"] = json!([address.to_string()]);
        Ok(())
    }

    fn take_ports(&self, service: &mut Value, had: &Holdings, got: &mut Holdings) -> Result<(), FieldError> {
        let Some(ports) = service["spec"]["ports"].as_array_mut() else { return Ok(()) };
        let error = |index: usize, port: u32, detail: String| FieldError {
            path: FieldPath::new(format!("spec.ports[{index}].nodePort")),
            kind: FieldErrorKind::Invalid,
            value: port.into(),
            detail,
        };
        // Ports given by number first, so that none of them is chosen for another.
        for (index, port) in ports.iter().enumerate() {
            let Some(number) = node_port(port) else { continue };
            if had.ports.contains(&number) || got.ports.contains(&number) {
                continue;
            }
            self.ports.take(number).map_err(|refusal| match refusal {
                Refusal::OutOfRange => error(
                    index,
                    number,
                    format!(
                        "provided port is not in the valid range. The range of valid ports is {}-{}",
                        self.ranges.node_ports.start(),
                        self.ranges.node_ports.end()
                    ),
                ),
                Refusal::Taken | Refusal::Exhausted => {
                    error(index, number, "provided port is already allocated".to_owned())
                }
            })?;
            got.ports.insert(number);
        }
        for (index, port) in ports.iter_mut().enumerate() {
            if node_port(port).is_none() {
                let number = self.ports.take_any().map_err(|_| FieldError {
                    path: FieldPath::new(format!("spec.ports[{index}].nodePort")),
                    kind: FieldErrorKind::Internal,
                    value: Value::Null,
                    detail: "failed to allocate a nodePort: range is full".to_owned(),
                })?;
                got.ports.insert(number);
                port["nodePort"] = number.into();
            }
        }
        Ok(())
    }
}

impl Reserve for Services {
    fn reserve(&self, new: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<Reservation<'_>, Vec<FieldError>> {
        let had = old.map(holdings).unwrap_or_default();
        if let Some(old) = old {
            keep_chosen(new, old);
        }
        let mut got = Holdings::default();
        let mut outcome = Ok(());
        if wants_address(new) {
            set_families(new);
            outcome = self.take_address(new, &had, &mut got);
        } else if new["spec"]["clusterIP"] == "None" && kind(new) != "ExternalName" {
            set_families(new);
            new["spec"]["clusterIPs"] = json!(["None"]);
        }
        if outcome.is_ok() && wants_node_ports(new) {
            outcome = self.take_ports(new, &had, &mut got);
        }
        if let Err(error) = outcome {
            self.give_back(&got);
            return Err(vec![error]);
        }
        let has = holdings(new);
        let lost = Holdings {
            addresses: had.addresses.difference(&has.addresses).copied().collect(),
            ports: had.ports.difference(&has.ports).copied().collect(),
        };
        let text = |key: &str| object::text(new, key).to_owned();
        let claims = got.addresses.iter().map(|address| Companion::Claim {
            address: Ipv4Addr::from(*address),
            namespace: text("namespace"),
            name: text("name"),
        });
        let companions = claims.chain(freed(&lost)).collect();
        Ok(Reservation::new(companions, move |happened| {
            self.give_back(if happened && !dry_run { &lost } else { &got });
        }))
    }

    fn release(&self, object: &Value) {
        self.give_back(&holdings(object));
    }

    fn farewell(&self, object: &Value) -> Vec<Companion> {
        freed(&holdings(object)).collect()
    }
}

fn freed(holdings: &Holdings) -> impl Iterator<Item = Companion> {
    holdings.addresses.iter().map(|address| Companion::Free { address: Ipv4Addr::from(*address) })
}

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn wants_address(service: &Value) -> bool {
    kind(service) != "ExternalName" && service["spec"]["clusterIP"] != "None"
}

fn wants_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn node_port(port: &Value) -> Option<u32> {
    port["nodePort"].as_u64().filter(|number| *number > 0).and_then(|number| u32::try_from(number).ok())
}

fn set_families(service: &mut Value) {
    if service["spec"]["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        service["spec"]["ipFamilies"] = json!(["IPv4"]);
    }
    if service["spec"]["ipFamilyPolicy"].is_null() {
        service["spec"]["ipFamilyPolicy"] = "SingleStack".into();
    }
}

/// An update that leaves out what the server chose means to keep it.
fn keep_chosen(new: &mut Value, old: &Value) {
    let empty = |value: &Value| value.as_str().is_none_or(str::is_empty);
    if wants_address(new) && wants_address(old) && empty(&new["spec"]["clusterIP"]) {
        for key in ["clusterIP", "clusterIPs"] {
            new["spec"][key] = old["spec"][key].clone();
        }
    }
    if kind(new) == "ExternalName"
        && kind(old) != "ExternalName"
        && new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
        && let Value::Object(spec) = &mut new["spec"]
    {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(key);
        }
    }
    if wants_node_ports(old) {
        let had = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let keeps = wants_node_ports(new);
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let same = had.iter().find(|have| have["port"] == port["port"] && have["protocol"] == port["protocol"]);
            let Some(same) = same else { continue };
            if keeps && node_port(port).is_none() && node_port(same).is_some() {
                port["nodePort"] = same["nodePort"].clone();
            } else if !keeps
                && port["nodePort"] == same["nodePort"]
                && let Value::Object(port) = port
            {
                port.remove("nodePort");
            }
        }
    }
}

fn holdings(service: &Value) -> Holdings {
    let mut holdings = Holdings::default();
    if wants_address(service)
        && let Some(Ok(address)) = service["spec"]["clusterIP"].as_str().map(str::parse::<Ipv4Addr>)
    {
        holdings.addresses.insert(address.into());
    }
    holdings.ports = service["spec"]["ports"].as_array().into_iter().flatten().filter_map(node_port).collect();
    holdings
}

#[cfg(test)]
mod tests {
    use minato_mvcc::{Attributes, Key, Object, Options, Revision};

    use super::*;

    fn services() -> Services {
        let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.0.0.0/26"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let stored = Object {
            key: Key::new("networking.k8s.io/servicecidrs", "", "kubernetes"),
            revision: Revision(1),
            created: Revision(1),
            value: range.to_string().into(),
            attributes: Attributes::default(),
        };
        let (memory, _publisher) = Memory::new([stored], Revision(1), Options::default());
        Services::new(ServiceRanges { node_ports: 30_000..=30_031 }, &memory)
    }

    #[test]
    fn a_write_that_does_not_happen_takes_nothing() {
        let services = services();
        let mut service =
            json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.9", "ports": [{"port": 80, "nodePort": 30_001}]}});
        drop(services.reserve(&mut service.clone(), None, false).unwrap());
        services.reserve(&mut service, None, false).unwrap().keep();
        let errors = services.reserve(&mut service.clone(), None, false).err().unwrap();
        assert_eq!(
            errors[0].to_string(),
            "spec.clusterIPs: Invalid value: [\"10.0.0.9\"]: failed to allocate IP 10.0.0.9: provided IP is already allocated"
        );
        services.release(&service);
        services.reserve(&mut service, None, false).unwrap().keep();
    }

    #[test]
    fn an_update_keeps_what_it_does_not_mention_and_gives_back_what_it_drops() {
        let services = services();
        let mut old = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        services.reserve(&mut old, None, false).unwrap().keep();
        assert!(old["spec"]["ports"][0]["nodePort"].is_u64());
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        services.reserve(&mut new, Some(&old), false).unwrap().keep();
        assert_eq!(new, old);
        let mut plain = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}});
        services.reserve(&mut plain, Some(&old), false).unwrap().keep();
        assert_eq!(plain["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        let port = old["spec"]["ports"][0]["nodePort"].clone();
        let mut other = json!({"spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": port}]}});
        services.reserve(&mut other, None, false).unwrap().keep();
    }

    #[test]
    fn one_node_port_serves_two_protocols_of_one_service() {
        let mut service = json!({"spec": {"type": "NodePort", "ports": [
            {"port": 53, "protocol": "TCP", "nodePort": 30_003}, {"port": 53, "protocol": "UDP", "nodePort": 30_003}]}});
        services().reserve(&mut service, None, false).unwrap().keep();
    }
}
