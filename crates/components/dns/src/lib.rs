//! The cluster's DNS server: names of Services and pods, and a way to all others.
//!
//! ```text
//! pod ─► kube-dns 10.43.0.10:53 ─(packet filter)─► node_ip:port ─► Zone ─► informers (Services, EndpointSlices)
//!                                                               └► Upstream ─► the host's resolvers
//! ```
//! The server binds a free port of the node and publishes it as the endpoint of the Service `kube-system/kube-dns`.
//! Answers are made from the informers' stores at the moment of the question; there is nothing to rebuild.

mod directory;
mod publish;
mod server;
mod upstream;
mod zone;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use minato_scope::Scope;

use directory::{Directory, Watched};
use publish::Publication;
use server::{Answerer, Sockets};
use upstream::Upstream;
use zone::Zone;

/// A TCP client that is silent for so long is disconnected.
const TCP_IDLE_MAX: Duration = Duration::from_secs(10);
/// Answers that may wait for a slow TCP client.
const TCP_ANSWERS_MAX: usize = 32;

/// What the DNS server has to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The domain below which the cluster's names are; by custom `cluster.local`.
    pub cluster_domain: String,
    /// The cluster IP of the Service `kube-dns`; by custom the tenth of the service range.
    pub service_ip: Ipv4Addr,
    /// The address of this node to listen on.
    pub node_ip: Ipv4Addr,
    /// `metadata.name` of this node.
    pub node_name: String,
    /// Where the resolvers for other names are listed; by custom `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

/// Why the DNS server ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster domain is no domain name.
    #[error("cluster domain {domain:?} is not a domain name")]
    Domain {
        /// As configured.
        domain: String,
        /// What is wrong with it.
        source: hickory_proto::ProtoError,
    },
    /// No port of the node could be bound.
    #[error("failed to bind a DNS port on {ip}")]
    Bind {
        /// The node's address.
        ip: Ipv4Addr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket failed.
    #[error("the DNS server stopped")]
    Serve(#[source] hickory_server::net::NetError),
}

/// Runs until the scope is cancelled.
///
/// # Errors
/// [`Error`] when the server cannot start, or its sockets fail.
pub async fn run(config: Config, client: kube::Client, scope: Scope) -> Result<(), Error> {
    let domain = domain(&config.cluster_domain)?;
    let former = publish::former_port(&client).await;
    let bound = Sockets::bind(config.node_ip, former).await;
    let sockets = bound.map_err(|source| Error::Bind { ip: config.node_ip, source })?;
    let publication =
        Publication { service_ip: config.service_ip, server: sockets.address, node_name: config.node_name };
    tracing::info!(address = %sockets.address, service_ip = %config.service_ip, "serving DNS");

    let watched = Arc::new(Watched::start(&client, &scope));
    let upstream = Upstream::new(config.resolv_conf, vec![config.service_ip.into()]);
    let zone = Zone::new(domain, Arc::clone(&watched));
    let mut server = serve(sockets, Answerer::new(zone, upstream));
    let served = tokio::select! {
        () = scope.cancelled() => Ok(()),
        () = publish::keep(&client, &watched, &publication) => Ok(()),
        ended = server.block_until_done() => ended,
    };
    served.map_err(Error::Serve)
}

fn serve<D: Directory>(sockets: Sockets, answerer: Answerer<D>) -> hickory_server::Server<Answerer<D>> {
    let mut server = hickory_server::Server::new(answerer);
    for socket in sockets.udp {
        server.register_socket(socket);
    }
    server.register_listener(sockets.tcp, TCP_IDLE_MAX, TCP_ANSWERS_MAX);
    server
}

fn domain(text: &str) -> Result<Name, Error> {
    let parsed = Name::from_ascii(text);
    let mut domain = parsed.map_err(|source| Error::Domain { domain: text.to_owned(), source })?;
    domain.set_fqdn(true);
    Ok(domain)
}
