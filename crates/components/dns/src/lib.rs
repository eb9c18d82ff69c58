//! The cluster's DNS server: names of Services and pods, and a way to all others.
//!
//! ```text
//!                     ┌ minato server ─────────────┐                ┌ minato resolver ──────────┐
//! API ─(informers)──► │ Source ─► Supervisor ──────┼─(Unix socket)─►│ Table ─► Zone ┐           │
//!                     │ kube-dns, its EndpointSlice│   all, changes │               ├► Answerer │
//!                     └────────────────────────────┘                │ Upstream ─────┘           │
//! pod ─► kube-dns 10.43.0.10:53 ─(packet filter)─► node_ip:port ────┴───────────────────────────┘
//! ```
//! [`run`] is the server's part: it binds a free port of the node, publishes it as the endpoint of the Service
//! `kube-system/kube-dns`, and keeps a [`resolver`] at work, a process that goes on answering when the server is gone.

mod answer;
mod guests;
mod names;
mod protocol;
mod publish;
pub mod resolver;
mod sockets;
mod source;
mod supervise;
mod table;
mod upstream;
mod zone;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use hickory_proto::ProtoError;
use hickory_proto::rr::Name;
use minato_scope::Scope;

use protocol::Settings;
use publish::Publication;
use source::Source;
use supervise::{SuperviseError, Supervisor};

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
    /// The folder of the resolver's socket and log; by custom `<data-dir>/node/dns`.
    pub directory: PathBuf,
    /// The resolver's cgroup, below the cluster's own.
    pub cgroup: String,
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
        source: ProtoError,
    },
    /// There is no process that answers.
    #[error("there is no DNS resolver")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps the resolver and the Service in front of it, until the scope is cancelled. The resolver stays.
///
/// # Errors
/// [`Error`] when there is no resolver and none can be started.
pub async fn run(config: Config, client: kube::Client, scope: Scope) -> Result<(), Error> {
    if let Err(source) = domain(&config.cluster_domain) {
        return Err(Error::Domain { domain: config.cluster_domain, source });
    }
    let supervisor = Supervisor {
        directory: config.directory,
        cgroup: config.cgroup,
        // This very program, also after its file was replaced.
        program: "/proc/self/exe".into(),
        settings: Settings {
            cluster_domain: config.cluster_domain,
            own: vec![config.service_ip.into()],
            resolv_conf: config.resolv_conf,
        },
    };
    let former = publish::former_port(&client).await;
    let resolver = supervisor.find_or_start(config.node_ip, former).await;
    let resolver = resolver.map_err(|error: SuperviseError| Error::Resolver(Box::new(error)))?;
    let server = resolver.sockets.address;
    tracing::info!(address = %server, service_ip = %config.service_ip, "serving DNS");

    let publication = Publication { service_ip: config.service_ip, server, node_name: config.node_name };
    let source = Source::start(&client, &scope);
    tokio::select! {
        () = scope.cancelled() => {}
        () = publish::keep(&client, &source, &publication) => {}
        () = supervisor.keep(resolver, &source, &scope) => {}
    }
    Ok(())
}

fn domain(text: &str) -> Result<Name, ProtoError> {
    let mut domain = Name::from_ascii(text)?;
    domain.set_fqdn(true);
    Ok(domain)
}
