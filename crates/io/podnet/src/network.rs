//! The real [`PodNetwork`]: one veth per pod, routed, no bridge.
//!
//! ```text
//!  pod                                 node
//!  eth0  10.42.0.7/32  ───── veth ───── mn<cluster id><hash>   route 10.42.0.7/32
//!  default via 169.254.1.1 (permanent neighbour: the veth's other end)
//! ```
//! The link-local gateway exists nowhere; its hardware address is written into the pod's neighbour table. No pod sees
//! another's broadcast, and all traffic passes the node's routing, where the packet filter sits.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use minato_rules::Ipv4Cidr;
use nix::sys::statfs::{NSFS_MAGIC, statfs};

use crate::links::{Link, Links, Pair};
use crate::records::Records;
use crate::settings;
use crate::{Attached, Firewall, FirewallConfig, NetError, PodAddress, PodAttachment, PodNetwork};

/// The gateway that every pod sees.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The hardware address of the node's end of every veth; unique enough, since each link has two ends only.
const HOST_MAC: [u8; 6] = [0xee; 6];
const POD_INTERFACE: &str = "eth0";
/// Used when neither the node's address nor a default route says better.
const DEFAULT_MTU: u32 = 1500;

/// What the pod network of a node has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Eight hex digits that name the cluster on this host.
    pub cluster_id: String,
    /// The cluster's data directory; records go to `node/network` below it.
    pub data_dir: PathBuf,
    /// This node's share of the pod range, such as `10.42.0.0/24`.
    pub pod_cidr: Ipv4Cidr,
    /// The pod range of the whole cluster, such as `10.42.0.0/16`.
    pub cluster_cidr: Ipv4Cidr,
    /// The range of virtual service addresses, such as `10.43.0.0/16`.
    pub service_cidr: Ipv4Cidr,
    /// The address by which other nodes reach this one.
    pub node_ip: Ipv4Addr,
}

impl Config {
    fn directory(&self) -> PathBuf {
        directory(&self.data_dir)
    }

    fn firewall(&self) -> FirewallConfig {
        FirewallConfig {
            cluster_id: self.cluster_id.clone(),
            pod_cidr: self.pod_cidr,
            cluster_cidr: self.cluster_cidr,
            service_cidr: self.service_cidr,
            node_ip: self.node_ip,
        }
    }

    fn interface_prefix(&self) -> String {
        interface_prefix(&self.cluster_id)
    }

    fn validate(&self) -> Result<(), NetError> {
        check_cluster_id(&self.cluster_id)?;
        if self.pod_cidr.prefix() > 30 { Err(NetError::RangeTooSmall(self.pod_cidr)) } else { Ok(()) }
    }
}

fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("node/network")
}

fn interface_prefix(cluster_id: &str) -> String {
    format!("mn{cluster_id}")
}

fn check_cluster_id(cluster_id: &str) -> Result<(), NetError> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let valid = cluster_id.len() == 8 && cluster_id.bytes().all(hex);
    if valid { Ok(()) } else { Err(NetError::ClusterId(cluster_id.to_owned())) }
}

/// The pod network of this node.
#[derive(Debug)]
pub struct Network {
    config: Config,
    links: Links,
    records: Mutex<Records>,
    mtu: u32,
}

impl Network {
    /// Prepares the node and repairs what a crash left: interfaces without a record go, records whose pod is gone too.
    ///
    /// # Errors
    /// [`NetError`] when the node cannot be prepared; nothing is half done that a second call would not repair.
    pub async fn open(config: Config) -> Result<Self, NetError> {
        config.validate()?;
        let directory = config.directory();
        std::fs::create_dir_all(&directory).map_err(|source| NetError::Record {
            action: "create",
            path: directory.clone(),
            source,
        })?;
        let links = Links::here()?;
        let prefix = config.interface_prefix();
        let connected = !links.starting_with(&prefix).await?.is_empty();
        let records = Records::open(directory.join("pods.json"), config.pod_cidr, prefix, connected)?;
        let mtu = prepare_uplinks(&config, &links, &mut Firewall::open(&config.firewall())?).await?;
        let network = Self { config, links, records: Mutex::new(records), mtu };
        network.recover().await?;
        Ok(network)
    }

    /// Removes interfaces that no pod owns and forgets pods whose namespace is gone (after a reboot, all of them).
    async fn recover(&self) -> Result<(), NetError> {
        for link in self.links.starting_with(&self.config.interface_prefix()).await? {
            if !self.records().owns_interface(&link.name) {
                tracing::info!(interface = link.name, "removing an interface that no pod owns");
                self.links.remove(&link.name).await?;
            }
        }
        let pods = self.records().pods();
        for pod in pods {
            let stranger = !matches!(pod.ip, IpAddr::V4(ip) if self.config.pod_cidr.contains(ip));
            if stranger || (!is_namespace(&pod.netns) && self.links.find(&pod.host_interface).await?.is_none()) {
                tracing::info!(
                    namespace = pod.namespace,
                    pod = pod.name,
                    "forgetting the address of a pod that is gone"
                );
                self.links.remove(&pod.host_interface).await?;
                self.records().release(&pod.uid)?;
            }
        }
        Ok(())
    }

    async fn connect(&self, pod: &Attached) -> Result<(), NetError> {
        let IpAddr::V4(ip) = pod.ip else { return Err(NetError::InterfaceGone(pod.host_interface.clone())) };
        let pod_mac = pod_mac(ip);
        let inside = Links::inside(&pod.netns).await?;
        let (host, eth0) = match (self.links.find(&pod.host_interface).await?, inside.find(POD_INTERFACE).await?) {
            (Some(host), Some(eth0)) if eth0.mac == pod_mac => (host, eth0),
            _ => self.connect_anew(pod, pod_mac, &inside).await?,
        };

        for (setting, value) in [("forwarding", "1"), ("route_localnet", "1")] {
            settings::set(&settings::ipv4(&host.name, setting), value)?;
        }
        settings::without_ipv6(&host.name)?;
        self.links.up(&host).await?;
        inside.up(&inside.need("lo").await?).await?;
        inside.add_address(&eth0, ip).await?;
        inside.up(&eth0).await?;
        inside.add_neighbour(&eth0, GATEWAY, HOST_MAC).await?;
        inside.add_link_route(&eth0, GATEWAY).await?;
        inside.add_default_route(&eth0, GATEWAY).await?;
        self.links.add_neighbour(&host, ip, pod_mac).await?;
        self.links.add_link_route(&host, ip).await
    }

    async fn connect_anew(&self, pod: &Attached, pod_mac: [u8; 6], inside: &Links) -> Result<(Link, Link), NetError> {
        self.links.remove(&pod.host_interface).await?;
        let pair = Pair {
            host_name: &pod.host_interface,
            host_mac: HOST_MAC,
            alias: format!("minato {} pod {}/{} {}", self.config.cluster_id, pod.namespace, pod.name, pod.uid),
            pod_name: POD_INTERFACE,
            pod_mac,
            mtu: self.mtu,
        };
        self.links.add_pair(&pair, &pod.netns).await?;
        Ok((self.links.need(&pod.host_interface).await?, inside.need(POD_INTERFACE).await?))
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PodNetwork for Network {
    async fn attach(&self, pod: &PodAttachment) -> Result<PodAddress, NetError> {
        let (attached, new) = self.records().assign(pod)?;
        if let Err(error) = self.connect(&attached).await {
            if new && let Err(undo) = self.detach(&pod.uid).await {
                tracing::warn!(namespace = pod.namespace, pod = pod.name, error = %undo, "failed to undo an attachment");
            }
            return Err(error);
        }
        Ok(PodAddress {
            ip: attached.ip,
            gateway: GATEWAY.into(),
            interface: POD_INTERFACE.to_owned(),
            host_interface: attached.host_interface,
            mtu: self.mtu,
        })
    }

    async fn detach(&self, uid: &str) -> Result<(), NetError> {
        let Some(pod) = self.records().get(uid) else { return Ok(()) };
        self.links.remove(&pod.host_interface).await?;
        self.records().release(uid)
    }

    async fn list(&self) -> Result<Vec<Attached>, NetError> {
        Ok(self.records().pods())
    }
}

/// Takes everything of this cluster off the host: interfaces (and with them routes), packet filter, records; forwarding is
/// switched off where it was, unless another cluster of this host still needs it.
/// Runs to its end; the host need not have been prepared.
pub async fn teardown(cluster_id: &str, data_dir: &Path) -> Vec<NetError> {
    if let Err(error) = check_cluster_id(cluster_id) {
        return vec![error];
    }
    let mut errors = remove_interfaces(&interface_prefix(cluster_id)).await;
    match Firewall::remove(cluster_id) {
        Ok(switched_on) => {
            let off = switched_on.iter().map(|interface| settings::set_forwarding(interface, false));
            errors.extend(off.filter_map(Result::err));
        }
        Err(error) => errors.push(error.into()),
    }
    let directory = directory(data_dir);
    match std::fs::remove_dir_all(&directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            errors.push(NetError::Record { action: "remove", path: directory, source });
        }
        _ => {}
    }
    errors
}

async fn remove_interfaces(prefix: &str) -> Vec<NetError> {
    let links = match Links::here() {
        Ok(links) => links,
        Err(error) => return vec![error],
    };
    let ours = match links.starting_with(prefix).await {
        Ok(ours) => ours,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for link in ours {
        errors.extend(links.remove(&link.name).await.err());
    }
    errors
}

/// Lets packets for pods in through the interfaces that hold the node's addresses, and finds the pods' MTU.
///
/// Forwarding is switched on per interface, never globally, so that interfaces of others stay as they are. What was
/// off is remembered before it is switched on.
async fn prepare_uplinks(config: &Config, links: &Links, firewall: &mut Firewall) -> Result<u32, NetError> {
    let all = links.all().await?;
    let addresses = links.addresses().await?;
    let is_uplink = |link: &&Link| {
        !link.name.starts_with("mn")
            && addresses.iter().any(|(index, ip)| *index == link.index && !ip.is_loopback() && !ip.is_link_local())
    };
    let uplinks: Vec<&str> = all.iter().filter(is_uplink).map(|link| link.name.as_str()).collect();
    let others = firewall.switched_on_by_others()?;
    let were_off = uplinks.iter().filter(|name| !settings::forwards(name) || others.contains(**name));
    firewall.remember_switched_on(were_off.copied())?;
    for uplink in uplinks {
        settings::set_forwarding(uplink, true)?;
    }
    let of_node = addresses.iter().find(|(_, ip)| *ip == config.node_ip).map(|(index, _)| *index);
    let index = match of_node {
        Some(index) => Some(index),
        None => links.default_route_interface().await?,
    };
    let mtu = all.iter().find(|link| Some(link.index) == index).map_or(DEFAULT_MTU, |link| link.mtu);
    // A node on the loopback address has an uplink of 64 KiB packets; pods would not talk to anybody that way.
    Ok(if mtu > 9216 { DEFAULT_MTU } else { mtu })
}

/// After a reboot the file may still be there, but nothing is mounted on it.
fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|filesystem| filesystem.filesystem_type() == NSFS_MAGIC)
}

fn pod_mac(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}
