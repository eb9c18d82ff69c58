//! What a pod's host ports ask of the packet filter: a frontend on the node with one endpoint.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use crate::service::port_number;
use crate::{Action, Endpoint, Frontend, Protocol, ServiceRules};

/// What `pod`, which runs on this node, asks for. A pod that has ended asks for nothing, nor does one on the host's
/// network: its ports are the host's anyway.
#[must_use]
pub fn plan_host_ports(pod: &Pod) -> ServiceRules {
    let mut rules = ServiceRules::default();
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return rules };
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let address = status.pod_ip.as_deref().and_then(|ip| ip.parse().ok());
    let Some(address) = address.filter(|_| !ended && spec.host_network != Some(true)) else { return rules };
    // Init containers that go on running (KEP-753) may have ports, too.
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for port in containers.flat_map(|container| container.ports.iter().flatten()) {
        let Some((frontend, endpoint)) = host_port(port, address) else { continue };
        let action = Action::Serve { endpoints: [endpoint].into(), affinity_seconds: None };
        rules.frontends.insert(frontend, action);
        rules.hairpins.insert(address);
    }
    rules
}

fn host_port(port: &ContainerPort, address: Ipv4Addr) -> Option<(Frontend, Endpoint)> {
    let number = port_number(port.host_port?)?;
    let protocol = Protocol::from_name(port.protocol.as_deref())?;
    let host = match port.host_ip.as_deref() {
        None | Some("" | "0.0.0.0") => Frontend::ANY_NODE_ADDRESS,
        Some(ip) => ip.parse().ok()?,
    };
    let endpoint = Endpoint { address, port: port_number(port.container_port)? };
    Some((Frontend { address: host, protocol, port: number }, endpoint))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `address:port protocol -> endpoint` of each frontend.
    fn planned(ports: Value, change: impl FnOnce(&mut Pod)) -> Vec<String> {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "a"}, "status": {"podIP": "10.42.0.2", "phase": "Running"},
            "spec": {"containers": [{"name": "a", "ports": ports}]},
        }))
        .unwrap();
        change(&mut pod);
        let show = |(frontend, action): (&Frontend, &Action)| match action {
            Action::Serve { endpoints, .. } => {
                let to: Vec<_> = endpoints.iter().map(|to| format!("{}:{}", to.address, to.port)).collect();
                format!("{}:{} {:?} -> {}", frontend.address, frontend.port, frontend.protocol, to.join(" "))
            }
            Action::Refuse(_) => "refused".to_owned(),
        };
        plan_host_ports(&pod).frontends.iter().map(show).collect()
    }

    #[test]
    fn ports_of_pods() {
        let ports = || {
            json!([
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 81},
                {"containerPort": 53, "hostPort": 8053, "hostIP": "127.0.0.1", "protocol": "UDP"},
                {"containerPort": 53, "hostPort": 8053, "hostIP": "fd00::1"},
            ])
        };
        let expected = ["0.0.0.0:8080 Tcp -> 10.42.0.2:80", "127.0.0.1:8053 Udp -> 10.42.0.2:53"];
        assert_eq!(planned(ports(), |_| {}), expected);
        assert!(planned(ports(), |pod| pod.spec.as_mut().unwrap().host_network = Some(true)).is_empty());
        assert!(planned(ports(), |pod| pod.status.as_mut().unwrap().phase = Some("Failed".into())).is_empty());
        assert!(planned(ports(), |pod| pod.status.as_mut().unwrap().pod_ip = None).is_empty());
    }
}
