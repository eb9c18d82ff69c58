//! A node with pods and a packet filter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use minato_podnet::{Config, Firewall, FirewallConfig, NetError, Network, PodAddress, PodAttachment, PodNetwork as _};
use minato_rules::{Action, Elements, Endpoint, Frontend, Owner, Planner, Protocol, ServiceRules};
use minato_testkit::netlab::{Lab, NODE_IP, Namespace};

pub(crate) const CLUSTER_ID: &str = "0123abcd";

pub(crate) fn config(data_dir: &Path) -> Config {
    Config {
        cluster_id: CLUSTER_ID.into(),
        data_dir: data_dir.to_owned(),
        pod_cidr: "10.42.0.0/24".parse().unwrap(),
        cluster_cidr: "10.42.0.0/16".parse().unwrap(),
        service_cidr: "10.43.0.0/16".parse().unwrap(),
        node_ip: NODE_IP,
    }
}

pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) directory: tempfile::TempDir,
    planner: Planner,
}

pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) attachment: PodAttachment,
    pub(crate) address: PodAddress,
}

impl Pod {
    pub(crate) fn endpoint(&self, port: u16) -> Endpoint {
        let IpAddr::V4(address) = self.address.ip else { panic!("pods have IPv4 addresses") };
        Endpoint { address, port }
    }

    /// A pod that answers on TCP and UDP port 8080 with its name.
    pub(crate) fn serve(&self) {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        self.namespace.serve_tcp(&self.attachment.name, any).unwrap();
        self.namespace.serve_udp(&self.attachment.name, any).unwrap();
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self {
            lab: Lab::new().unwrap(),
            directory: tempfile::tempdir().unwrap(),
            planner: Planner::new(Elements::default()),
        };
        site.open(async |_| Ok(())).unwrap();
        site
    }

    /// Opens the network as a starting server does, and uses it.
    pub(crate) fn open<T: Send>(
        &self,
        work: impl AsyncFnOnce(Network) -> Result<T, NetError> + Send,
    ) -> Result<T, NetError> {
        let config = config(self.directory.path());
        self.lab.node.block_on(|| async { work(Network::open(config).await?).await }).unwrap()
    }

    pub(crate) fn pod(&self, name: &str) -> Pod {
        let namespace = Namespace::new().unwrap();
        let attachment = PodAttachment {
            uid: format!("uid-of-{name}"),
            namespace: "default".into(),
            name: name.into(),
            netns: namespace.path(),
        };
        let address = self.open(async |network| network.attach(&attachment).await).unwrap();
        Pod { namespace, attachment, address }
    }

    pub(crate) fn firewall<T: Send>(&self, work: impl FnOnce(&mut Firewall) -> T + Send) -> T {
        let config = config(self.directory.path());
        let config = FirewallConfig {
            cluster_id: config.cluster_id,
            pod_cidr: config.pod_cidr,
            cluster_cidr: config.cluster_cidr,
            service_cidr: config.service_cidr,
            node_ip: config.node_ip,
        };
        self.lab.node.run(|| work(&mut Firewall::open(&config).unwrap())).unwrap()
    }

    /// Programs what a Service asks for, as the proxy does, and checks that the kernel holds what the planner thinks.
    pub(crate) fn program(&mut self, name: &str, rules: ServiceRules) {
        self.planner.set(&Owner::Service("default".into(), name.into()), rules);
        let changes = self.planner.changes();
        let held = self.firewall(|firewall| {
            firewall.apply(&changes).unwrap();
            firewall.read().unwrap()
        });
        self.planner.applied(&changes);
        assert_eq!(&held, self.planner.programmed());
    }
}

/// A Service with these frontends that all have the same endpoints.
pub(crate) fn rules(frontends: &[Frontend], endpoints: &[Endpoint], affinity_seconds: Option<u32>) -> ServiceRules {
    let action = match endpoints {
        [] => Action::Refuse(minato_rules::Refusal::Reject),
        _ => Action::Serve { endpoints: endpoints.iter().copied().collect(), affinity_seconds },
    };
    ServiceRules {
        frontends: frontends.iter().map(|frontend| (*frontend, action.clone())).collect(),
        hairpins: endpoints.iter().map(|endpoint| endpoint.address).collect(),
        cluster_ips: frontends.iter().map(|frontend| frontend.address).filter(|ip| !ip.is_unspecified()).collect(),
    }
}

pub(crate) fn frontend(address: Ipv4Addr, protocol: Protocol, port: u16) -> Frontend {
    Frontend { address, protocol, port }
}
