//! What placement needs to know of a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;

use crate::affinity::NodeAffinity;
use crate::resources::Resources;
use crate::taint::Toleration;

/// Scores count a container that requests no CPU or memory as if it requested this much, as upstream does.
const UNSTATED_CPU_MILLIS: i64 = 100;
const UNSTATED_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// What a pod demands of its node. Pods with equal demands fit the same nodes equally well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    pub(crate) requests: Resources,
    /// CPU (thousandths) and memory (bytes) as scores count them.
    pub(crate) scored: [i64; 2],
    pub(crate) affinity: NodeAffinity,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) ports: Vec<HostPort>,
    /// `spec.nodeName` of a pod that is not bound: it may go there and nowhere else.
    pub(crate) node_name: Option<String>,
    /// Pods of one controller are spread: this is its uid.
    pub(crate) group: Option<String>,
}

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostPort {
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) address: String,
}

impl HostPort {
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        const ANY: &str = "0.0.0.0";
        let addresses_meet = self.address == other.address || self.address == ANY || other.address == ANY;
        self.port == other.port && self.protocol == other.protocol && addresses_meet
    }
}

impl Demand {
    /// Reads a pod that is to be placed or has been.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let owners = pod.metadata.owner_references.iter().flatten();
        let group = owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone());
        let Some(spec) = &pod.spec else { return Self { group, ..Self::default() } };
        let mut tolerations: Vec<_> = spec.tolerations.iter().flatten().map(Toleration::read).collect();
        tolerations.sort_unstable();
        tolerations.dedup();
        Self {
            requests: requests(spec, requested),
            scored: {
                let scored = requests(spec, requested_or_assumed);
                [scored.cpu_millis, scored.memory_bytes]
            },
            affinity: NodeAffinity::read(spec),
            tolerations,
            ports: host_ports(spec),
            node_name: spec.node_name.clone().filter(|name| !name.is_empty()),
            group,
        }
    }

    /// The same demand of a pod that is not bound to the node it names.
    #[must_use]
    pub fn unbound(mut self) -> Self {
        self.node_name = None;
        self
    }
}

/// KEP-753's rule: init containers run one after the other, sidecars from their turn on, containers all at once.
fn requests(spec: &PodSpec, of: fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut initializing = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if is_sidecar(container) {
            running.add(&own);
            sidecars.add(&own);
            initializing.raise_to(&sidecars);
        } else {
            let mut peak = sidecars.clone();
            peak.add(&own);
            initializing.raise_to(&peak);
        }
    }
    running.raise_to(&initializing);
    override_with_pod_level(&mut running, spec.resources.as_ref());
    running.add(&Resources::read(spec.overhead.as_ref().unwrap_or(&BTreeMap::new())));
    running
}

/// What the pod as a whole requests replaces the sum of its containers (KEP-2837).
fn override_with_pod_level(sum: &mut Resources, pod_level: Option<&ResourceRequirements>) {
    let Some(list) = pod_level.and_then(|resources| resources.requests.as_ref()) else { return };
    let whole = Resources::read(list);
    if list.contains_key("cpu") {
        sum.cpu_millis = whole.cpu_millis;
    }
    if list.contains_key("memory") {
        sum.memory_bytes = whole.memory_bytes;
    }
    sum.others.extend(whole.others);
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn request_list(container: &Container) -> Option<&BTreeMap<String, Written>> {
    container.resources.as_ref()?.requests.as_ref()
}

fn requested(container: &Container) -> Resources {
    request_list(container).map(Resources::read).unwrap_or_default()
}

fn requested_or_assumed(container: &Container) -> Resources {
    let list = request_list(container);
    let states = |name: &str| list.is_some_and(|list| list.contains_key(name));
    let mut resources = requested(container);
    if !states("cpu") {
        resources.cpu_millis = UNSTATED_CPU_MILLIS;
    }
    if !states("memory") {
        resources.memory_bytes = UNSTATED_MEMORY_BYTES;
    }
    resources
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let mut ports: Vec<HostPort> = ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.as_deref().filter(|address| !address.is_empty()).unwrap_or("0.0.0.0");
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            Some(HostPort { port: number, protocol: protocol.to_owned(), address: address.to_owned() })
        })
        .collect();
    ports.sort_unstable();
    ports
}

#[cfg(test)]
mod tests {
    use k8s_openapi::serde_json::{Value, from_value, json};

    use super::*;

    fn demand(spec: Value) -> Demand {
        Demand::of(&from_value(json!({"spec": spec})).unwrap())
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    fn sidecar(cpu: &str, memory: &str) -> Value {
        let mut sidecar = container(cpu, memory);
        sidecar["restartPolicy"] = "Always".into();
        sidecar
    }

    #[test]
    fn requests_of_all_kinds_of_containers() {
        let check = |spec: Value, cpu_millis: i64, memory_bytes: i64| {
            let requests = demand(spec.clone()).requests;
            assert_eq!((requests.cpu_millis, requests.memory_bytes), (cpu_millis, memory_bytes), "{spec}");
        };
        check(json!({"containers": []}), 0, 0);
        check(json!({"containers": [container("1", "1k"), container("500m", "2k")]}), 1500, 3000);
        check(
            json!({"containers": [container("1", "5k")], "initContainers": [container("3", "1k"), container("2", "2k")]}),
            3000,
            5000,
        );
        check(
            json!({"containers": [container("1", "1k")], "initContainers": [sidecar("1", "1k"), container("3", "0")]}),
            4000,
            2000,
        );
        check(
            json!({"containers": [container("1", "1k")], "initContainers": [container("3", "0"), sidecar("1", "1k")]}),
            3000,
            2000,
        );
        check(json!({"containers": [container("1", "1k")], "overhead": {"cpu": "250m"}}), 1250, 1000);
        check(json!({"containers": [container("1", "1k")], "resources": {"requests": {"cpu": "5"}}}), 5000, 1000);
    }

    #[test]
    fn scores_assume_what_is_not_stated() {
        assert_eq!(
            demand(json!({"containers": [{"name": "c"}, container("1", "0")]})).scored,
            [1100, UNSTATED_MEMORY_BYTES]
        );
    }

    #[test]
    fn ports_of_the_host() {
        let ports = json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]);
        let ports = demand(json!({"containers": [{"name": "c", "ports": ports}]})).ports;
        assert_eq!(ports.len(), 2);
        let other =
            |port, protocol: &str, address: &str| HostPort { port, protocol: protocol.into(), address: address.into() };
        assert!(ports[1].conflicts(&other(80, "TCP", "10.0.0.1")));
        assert!(!ports[1].conflicts(&other(80, "UDP", "0.0.0.0")));
        assert!(ports[0].conflicts(&other(53, "UDP", "0.0.0.0")));
        assert!(!ports[0].conflicts(&other(53, "UDP", "10.0.0.2")));
    }
}
