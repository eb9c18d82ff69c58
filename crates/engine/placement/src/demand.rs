//! What placement needs to know of a pod.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;

use crate::affinity::NodeAffinity;
use crate::matcher::Identity;
use crate::relations::Relations;
use crate::resources::Resources;
use crate::shared::Shared;
use crate::taint::Toleration;
use crate::volume::Mounts;

/// Scores count a container that requests no CPU or memory as if it requested this much, as upstream does.
const UNSTATED_CPU_MILLIS: i64 = 100;
const UNSTATED_MEMORY_BYTES: i64 = 200 * 1024 * 1024;
/// Controllers whose pods are spread by default.
const SPREADING_KINDS: [&str; 3] = ["ReplicaSet", "ReplicationController", "StatefulSet"];
/// Parts of demands are interned; unused ones are swept when their number has doubled, but not below this.
const INTERNED_MIN: usize = 1024;

/// What a pod demands. Pods with equal demands fit the same nodes equally well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand {
    pub(crate) local: Shared<Local>,
    pub(crate) identity: Shared<Identity>,
    pub(crate) relations: Shared<Relations>,
    pub(crate) mounts: Shared<Mounts>,
}

/// What a pod demands of its node, whatever other pods there are elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Local {
    pub(crate) requests: Resources,
    /// CPU (thousandths) and memory (bytes) as scores count them.
    pub(crate) scored: [i64; 2],
    pub(crate) affinity: NodeAffinity,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) ports: Vec<HostPort>,
    /// `spec.nodeName` of a pod that is not bound: it may go there and nowhere else.
    pub(crate) node_name: Option<String>,
    /// The images of all containers, with their tags.
    pub(crate) images: Vec<String>,
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
        let identity = Identity {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            group: group(pod),
            is_ending: pod.metadata.deletion_timestamp.is_some(),
        };
        let Some(spec) = &pod.spec else {
            return Self { identity: Shared::new(identity), ..Self::default() };
        };
        Self {
            local: Shared::new(Local::read(spec)),
            relations: Shared::new(Relations::read(spec, &identity)),
            mounts: Shared::new(Mounts::read(
                spec,
                &identity.namespace,
                pod.metadata.name.as_deref().unwrap_or_default(),
                pod.metadata.uid.as_deref().unwrap_or_default(),
            )),
            identity: Shared::new(identity),
        }
    }

    /// Whether other pods can make a difference to where the pod may go.
    #[must_use]
    pub fn is_social(&self) -> bool {
        !self.relations.is_empty()
    }

    /// Whether the pod requests an extended resource.
    #[must_use]
    pub fn requests(&self, resource: &str) -> bool {
        self.local.requests.others.contains_key(resource)
    }

    /// Whether the pod mounts a claim.
    #[must_use]
    pub fn mounts(&self, claim: &str) -> bool {
        self.mounts.claims.iter().any(|mount| mount.claim == claim)
    }

    /// The pod's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// The pod's labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.identity.labels
    }
}

impl Local {
    pub(crate) fn read(spec: &PodSpec) -> Self {
        let mut tolerations: Vec<_> = spec.tolerations.iter().flatten().map(Toleration::read).collect();
        tolerations.sort_unstable();
        tolerations.dedup();
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
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
            images: containers.map(|container| tagged(container.image.as_deref().unwrap_or_default())).collect(),
        }
    }
}

/// Keeps one copy of what demands have in common.
#[derive(Debug, Default)]
pub struct Demands {
    locals: Interned<Local>,
    identities: Interned<Identity>,
    relations: Interned<Relations>,
    mounts: Interned<Mounts>,
}

impl Demands {
    /// What a pod demands; a pod that is bound does not demand its node by name.
    pub fn of(&mut self, pod: &Pod) -> Demand {
        let mut demand = Demand::of(pod);
        if demand.local.node_name.is_some() {
            demand.local = Shared::new(Local { node_name: None, ..Local::clone(&demand.local) });
        }
        Demand {
            local: self.locals.intern(demand.local),
            identity: self.identities.intern(demand.identity),
            relations: self.relations.intern(demand.relations),
            mounts: self.mounts.intern(demand.mounts),
        }
    }
}

#[derive(Debug)]
struct Interned<T> {
    known: HashSet<Shared<T>>,
    swept: usize,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), swept: 0 }
    }
}

impl<T: Eq + Hash> Interned<T> {
    fn intern(&mut self, value: Shared<T>) -> Shared<T> {
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() > 2 * self.swept.max(INTERNED_MIN) {
            self.known.retain(Shared::is_shared);
            self.swept = self.known.len();
        }
        self.known.insert(value.clone());
        value
    }
}

fn group(pod: &Pod) -> Option<String> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners.find(|owner| owner.controller == Some(true))?;
    SPREADING_KINDS.contains(&controller.kind.as_str()).then(|| controller.uid.clone())
}

/// The name under which nodes report an image.
fn tagged(image: &str) -> String {
    if image.rfind(':') <= image.rfind('/') { format!("{image}:latest") } else { image.to_owned() }
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
            let requests = demand(spec.clone()).local.requests.clone();
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
            demand(json!({"containers": [{"name": "c"}, container("1", "0")]})).local.scored,
            [1100, UNSTATED_MEMORY_BYTES]
        );
    }

    #[test]
    fn ports_of_the_host() {
        let ports = json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]);
        let ports = demand(json!({"containers": [{"name": "c", "ports": ports}]})).local.ports.clone();
        assert_eq!(ports.len(), 2);
        let other =
            |port, protocol: &str, address: &str| HostPort { port, protocol: protocol.into(), address: address.into() };
        assert!(ports[1].conflicts(&other(80, "TCP", "10.0.0.1")));
        assert!(!ports[1].conflicts(&other(80, "UDP", "0.0.0.0")));
        assert!(ports[0].conflicts(&other(53, "UDP", "0.0.0.0")));
        assert!(!ports[0].conflicts(&other(53, "UDP", "10.0.0.2")));
    }
}
