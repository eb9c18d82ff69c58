use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerPort, PodCondition, PodIP, PodSpec, PodStatus, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;

use super::*;

pub(crate) fn service(port: IntOrString) -> Service {
    let mut service = Service::default();
    service.metadata.name = Some("web".to_owned());
    service.metadata.namespace = Some("default".to_owned());
    service.metadata.uid = Some("service".to_owned());
    service.metadata.labels = Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
    service.spec = Some(ServiceSpec {
        cluster_ip: Some("10.43.0.9".to_owned()),
        ip_families: Some(vec!["IPv4".to_owned()]),
        ports: Some(vec![ServicePort {
            name: Some("http".to_owned()),
            port: 80,
            target_port: Some(port),
            protocol: Some("TCP".to_owned()),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    });
    service
}

/// `name ip|- [ready] [going] [phase=p] [port=name:number] [host=h.sub] [policy=p]`
pub(crate) fn pod(text: &str) -> Arc<Pod> {
    let mut words = text.split(' ');
    let name = words.next().unwrap().to_owned();
    let ip = words.next().unwrap();
    let flags: HashMap<&str, &str> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
    let mut container = Container::default();
    if let Some((name, number)) = flags.get("port").and_then(|port| port.split_once(':')) {
        container.ports = Some(vec![ContainerPort {
            name: Some(name.to_owned()),
            container_port: number.parse().unwrap(),
            ..ContainerPort::default()
        }]);
    }
    let host = flags.get("host").and_then(|host| host.split_once('.'));
    Arc::new(Pod {
        metadata: ObjectMeta {
            uid: Some(name.clone()),
            name: Some(name),
            namespace: Some("default".to_owned()),
            deletion_timestamp: flags.contains_key("going").then_some(Time(Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some("node-1".to_owned()),
            containers: vec![container],
            hostname: host.map(|(host, _)| host.to_owned()),
            subdomain: host.map(|(_, subdomain)| subdomain.to_owned()),
            restart_policy: flags.get("policy").map(|policy| (*policy).to_owned()),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some((*flags.get("phase").unwrap_or(&"Running")).to_owned()),
            pod_ips: (ip != "-").then(|| ip.split(',').map(|ip| PodIP { ip: ip.to_owned() }).collect()),
            conditions: flags.contains_key("ready").then(|| {
                vec![PodCondition { type_: "Ready".to_owned(), status: "True".to_owned(), ..PodCondition::default() }]
            }),
            ..PodStatus::default()
        }),
    })
}

struct World {
    service: Service,
    slices: BTreeMap<String, Arc<EndpointSlice>>,
    serial: usize,
}

impl World {
    fn new(service: Service) -> Self {
        Self { service, slices: BTreeMap::new(), serial: 0 }
    }

    fn plan(&self, pods: &[Arc<Pod>]) -> Plan {
        let slices: Vec<_> = self.slices.values().cloned().collect();
        let zones = BTreeMap::from([("node-1".to_owned(), "zone-a".to_owned())]);
        plan(&Observed { service: &self.service, pods, slices: &slices, zones: &zones })
    }

    /// Applies a plan; returns how many slices were written.
    fn apply(&mut self, pods: &[Arc<Pod>]) -> usize {
        let plan = self.plan(pods);
        let writes = plan.create.len() + plan.update.len() + plan.delete.len();
        for mut slice in plan.create {
            self.serial += 1;
            let name = format!("web-{:03}", self.serial);
            slice.metadata.name = Some(name.clone());
            self.slices.insert(name, slice.into());
        }
        for slice in plan.update {
            self.slices.insert(slice.metadata.name.clone().unwrap(), slice.into());
        }
        for slice in plan.delete {
            self.slices.remove(slice.metadata.name.as_deref().unwrap());
        }
        assert!(self.plan(pods).is_empty(), "{:?}", self.plan(pods));
        writes
    }

    /// `ip ready/serving/terminating` of all endpoints, sorted.
    fn endpoints(&self) -> Vec<String> {
        let all = self.slices.values().flat_map(|slice| slice.endpoints.iter().flatten());
        let mut texts: Vec<_> = all
            .map(|endpoint| {
                let conditions = endpoint.conditions.as_ref().unwrap();
                let flag = |set: Option<bool>, letter: char| if set == Some(true) { letter } else { '-' };
                let flags =
                    [flag(conditions.ready, 'r'), flag(conditions.serving, 's'), flag(conditions.terminating, 't')];
                format!("{} {}", endpoint.addresses.join(","), flags.iter().collect::<String>())
            })
            .collect();
        texts.sort();
        texts
    }

    fn sizes(&self) -> Vec<usize> {
        self.slices.values().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect()
    }
}

fn many(range: std::ops::Range<usize>) -> Vec<Arc<Pod>> {
    range.map(|number| pod(&format!("p{number:04} 10.42.{}.{} ready", number / 250, number % 250))).collect()
}

#[test]
fn conditions_of_endpoints() {
    let pods = [
        "a 10.0.0.1 ready",
        "b 10.0.0.2",
        "c 10.0.0.3 ready going",
        "d 10.0.0.4 going",
        "e 10.0.0.5 phase=Failed",
        "f 10.0.0.6 phase=Succeeded",
        "g -",
        "h fd00::1 ready",
        "i fd00::2,10.0.0.9 ready",
    ]
    .map(pod);
    let mut world = World::new(service(IntOrString::Int(8080)));
    world.apply(&pods);
    assert_eq!(world.endpoints(), ["10.0.0.1 rs-", "10.0.0.2 ---", "10.0.0.3 -st", "10.0.0.4 --t", "10.0.0.9 rs-"]);
    world.service.spec.as_mut().unwrap().publish_not_ready_addresses = Some(true);
    world.apply(&pods);
    assert_eq!(world.endpoints(), ["10.0.0.1 rs-", "10.0.0.2 r--", "10.0.0.3 rst", "10.0.0.4 r-t", "10.0.0.9 rs-"]);
}

#[test]
fn hints_follow_the_distribution() {
    let names = |distribution: Option<&str>, pods: &str| {
        let mut world = World::new(service(IntOrString::Int(8080)));
        world.service.spec.as_mut().unwrap().traffic_distribution = distribution.map(str::to_owned);
        world.apply(&[pod(pods)]);
        let hints = world.slices.values().next().unwrap().endpoints.as_ref().unwrap()[0].hints.clone()?;
        let zones = hints.for_zones.into_iter().flatten().map(|zone| zone.name);
        Some(zones.chain(hints.for_nodes.into_iter().flatten().map(|node| node.name)).collect::<Vec<_>>().join(" "))
    };
    for (distribution, pod, expected) in [
        (None, "a 10.0.0.1 ready", None),
        (Some("PreferClose"), "a 10.0.0.1 ready", Some("zone-a")),
        (Some("PreferSameZone"), "a 10.0.0.1 ready", Some("zone-a")),
        (Some("PreferSameNode"), "a 10.0.0.1 ready", Some("zone-a node-1")),
        (Some("PreferSameNode"), "a 10.0.0.1", None),
    ] {
        assert_eq!(names(distribution, pod).as_deref(), expected, "{distribution:?} {pod}");
    }
}

#[test]
fn a_slice_says_all_about_its_pod() {
    let mut world = World::new(service(IntOrString::Int(8080)));
    world.apply(&[pod("a 10.0.0.1 ready host=db-0.web")]);
    let slice = world.slices.values().next().unwrap();
    assert_eq!(slice.metadata.generate_name.as_deref(), Some("web-"));
    let labels = slice.metadata.labels.as_ref().unwrap();
    assert_eq!(
        (labels[SERVICE_NAME].as_str(), labels[MANAGED_BY].as_str(), labels["team"].as_str()),
        ("web", MANAGER, "a")
    );
    let owner = &slice.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Service", "service", Some(true)));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.hostname.as_deref(), Some("db-0"));
    assert_eq!((endpoint.node_name.as_deref(), endpoint.zone.as_deref()), (Some("node-1"), Some("zone-a")));
    assert_eq!(endpoint.target_ref.as_ref().unwrap().name.as_deref(), Some("a"));
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port, port.protocol.as_deref()), (Some("http"), Some(8080), Some("TCP")));
}

#[test]
fn named_ports_are_looked_up_in_each_pod() {
    let pods =
        ["a 10.0.0.1 ready port=web:80", "b 10.0.0.2 ready port=web:8080", "c 10.0.0.3 ready port=other:1"].map(pod);
    let mut world = World::new(service(IntOrString::String("web".to_owned())));
    world.apply(&pods);
    let mut found: Vec<_> = world
        .slices
        .values()
        .map(|slice| {
            let port = slice.ports.as_ref().unwrap().first().map(|port| port.port.unwrap());
            (slice.endpoints.as_ref().unwrap()[0].addresses[0].as_str(), port)
        })
        .collect();
    found.sort();
    assert_eq!(found, [("10.0.0.1", Some(80)), ("10.0.0.2", Some(8080)), ("10.0.0.3", None)]);
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut world = World::new(service(IntOrString::Int(8080)));
    assert_eq!(world.apply(&[]), 1);
    assert_eq!(world.sizes(), [0]);
    world.apply(&many(0..2));
    assert_eq!(world.sizes(), [2]);
    world.apply(&[]);
    assert_eq!(world.sizes(), [0]);
}

#[test]
fn headless_slices_are_labelled_and_may_lack_ports() {
    let mut headless = service(IntOrString::Int(1));
    let spec = headless.spec.as_mut().unwrap();
    spec.cluster_ip = Some("None".to_owned());
    spec.ports = None;
    let mut world = World::new(headless);
    world.apply(&many(0..3));
    let slice = world.slices.values().next().unwrap();
    assert_eq!(slice.metadata.labels.as_ref().unwrap()[HEADLESS], "");
    assert_eq!((world.sizes(), slice.ports.as_deref()), (vec![3], Some(&[][..])));
}

#[test]
fn one_change_writes_one_slice() {
    let mut world = World::new(service(IntOrString::Int(8080)));
    let mut pods = many(0..250);
    assert_eq!(world.apply(&pods), 3);
    assert_eq!(world.sizes(), [100, 100, 50]);
    pods[7] = pod("p0007 10.42.0.7");
    assert_eq!(world.apply(&pods), 1, "a pod that is not ready any more");
    pods.remove(7);
    pods.push(pod("new 10.42.9.9 ready"));
    assert_eq!(world.apply(&pods), 1, "a pod that replaces another");
    pods.push(pod("newer 10.42.9.10 ready"));
    assert_eq!(world.apply(&pods), 1, "a pod more");
    assert_eq!(world.sizes(), [100, 100, 51]);
}

#[test]
fn labels_follow_the_service() {
    let mut world = World::new(service(IntOrString::Int(8080)));
    world.apply(&many(0..1));
    world.service.metadata.labels = None;
    assert_eq!(world.apply(&many(0..1)), 1);
    assert!(!world.slices.values().next().unwrap().metadata.labels.as_ref().unwrap().contains_key("team"));
}

proptest! {
    /// Whatever comes and goes: every pod is in exactly one slice, no slice is overfull or needlessly empty.
    #[test]
    fn every_pod_is_in_one_slice(ranges in prop::collection::vec((0..400_usize, 0..250_usize), 1..8)) {
        let mut world = World::new(service(IntOrString::Int(8080)));
        for (start, length) in ranges {
            let pods = many(start..start + length);
            world.apply(&pods);
            let mut expected: Vec<_> = pods.iter().map(|pod| format!("{} rs-", pod_addresses(pod)[0])).collect();
            expected.sort();
            prop_assert_eq!(world.endpoints(), expected);
            let sizes = world.sizes();
            prop_assert!(sizes.iter().all(|size| *size <= ENDPOINTS_MAX && (*size > 0 || sizes.len() == 1)), "{sizes:?}");
        }
    }
}
