//! The service proxy of a node: keeps the packet filter in step with Services and EndpointSlices.
//!
//! ```text
//! watch Services, EndpointSlices, own pods ─► who changed ─► Planner (minato-rules) ─► Firewall (minato-podnet)
//! ```
//! A change is programmed as soon as it is seen; what comes while the kernel is busy goes into the next transaction.
//! At start-up the proxy reads what is programmed and changes only what differs, so service traffic does not notice a
//! restart; when it stops it leaves the packet filter as it is.

mod programmer;
mod watch;

use std::net::Ipv4Addr;

use minato_podnet::{Firewall, FirewallConfig, Ipv4Cidr, NftError};
use minato_scope::Scope;

pub use programmer::{PacketFilter, Programmer};

/// What the proxy has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Eight hex digits that name the cluster on this host.
    pub cluster_id: String,
    /// `metadata.name` of this node: its own endpoints matter to traffic policies.
    pub node_name: String,
    /// The address by which other nodes reach this one.
    pub node_ip: Ipv4Addr,
    /// This node's share of the pod range, such as `10.42.0.0/24`.
    pub pod_cidr: Ipv4Cidr,
    /// The pod range of the whole cluster, such as `10.42.0.0/16`.
    pub cluster_cidr: Ipv4Cidr,
    /// The range of virtual service addresses, such as `10.43.0.0/16`.
    pub service_cidr: Ipv4Cidr,
}

/// Why the proxy could not start. Later failures are logged and tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The packet filter is not to be had.
    #[error("failed to set up the packet filter")]
    Firewall(#[source] NftError),
}

/// Runs until the scope is cancelled.
///
/// # Errors
/// [`Error`] when the packet filter cannot be set up at all.
pub async fn run(config: Config, client: kube::Client, scope: Scope) -> Result<(), Error> {
    let firewall = FirewallConfig {
        cluster_id: config.cluster_id,
        pod_cidr: config.pod_cidr,
        cluster_cidr: config.cluster_cidr,
        service_cidr: config.service_cidr,
        node_ip: config.node_ip,
    };
    let open = move || Firewall::open(&firewall);
    let programmer = Programmer::start(open).await.map_err(Error::Firewall)?;
    watch::follow(client, &config.node_name, programmer, &scope).await;
    Ok(())
}
