//! What the kubelet is told, and what it is given to work with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Taint;
use minato_podlife::sysctl::AllowedSysctls;
use minato_podnet::{NetError, PodNetwork};
use minato_runtime::Runtime;

/// Settings of the kubelet.
#[derive(Clone)]
pub struct Config {
    /// The node's name, also the user it acts as (`system:node:<name>`).
    pub node_name: String,
    /// The address by which others reach this machine.
    pub node_ip: IpAddr,
    /// Everything on disk is below `<data_dir>/node`.
    pub data_dir: PathBuf,
    /// Eight hexadecimal digits; cgroups are below `/minato-<cluster_id>`.
    pub cluster_id: String,
    /// Addresses of the cluster's DNS service.
    pub cluster_dns: Vec<IpAddr>,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// Port of the HTTPS server on `node_ip`; 0 takes a free one.
    pub port: u16,
    /// Identity of the HTTPS server and the authority of its clients.
    pub tls: Arc<rustls::ServerConfig>,
    /// The client that may use the HTTPS server, by the common name of its certificate.
    pub api_server_user: String,
    /// Most pods on this node.
    pub max_pods: u32,
    /// Labels for the node, besides those every node has.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node is registered with.
    pub taints: Vec<Taint>,
    /// What pods may set besides the safe sysctls.
    pub allowed_sysctls: AllowedSysctls,
}

impl Config {
    /// The defaults, for a node that is known by this name and address.
    pub fn new(
        node_name: impl Into<String>,
        node_ip: IpAddr,
        data_dir: impl Into<PathBuf>,
        cluster_id: impl Into<String>,
        tls: Arc<rustls::ServerConfig>,
    ) -> Self {
        Self {
            node_name: node_name.into(),
            node_ip,
            data_dir: data_dir.into(),
            cluster_id: cluster_id.into(),
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            port: 0,
            tls,
            api_server_user: "kube-apiserver-kubelet-client".to_owned(),
            max_pods: 110,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            allowed_sysctls: AllowedSysctls::default(),
        }
    }

    pub(crate) fn pods_directory(&self) -> PathBuf {
        self.data_dir.join("node/pods")
    }

    pub(crate) fn pod_directory(&self, uid: &str) -> PathBuf {
        self.pods_directory().join(uid)
    }

    pub(crate) fn logs_directory(&self) -> PathBuf {
        self.data_dir.join("node/logs")
    }
}

/// Opens the pod network once the node's range (`spec.podCIDR`) is known; called again if it fails.
pub type OpenNetwork = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn PodNetwork>, NetError>> + Send + Sync>;

/// What the kubelet drives.
#[derive(Clone)]
pub struct Parts {
    /// Runs containers.
    pub runtime: Arc<dyn Runtime>,
    /// The images on this node.
    pub images: minato_images::Store,
    /// Makes the pod network.
    pub open_network: OpenNetwork,
}

/// Why the kubelet could not start. Once it runs, it goes on whatever happens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the HTTPS server is taken or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The runtime does not answer.
    #[error("failed to list the containers of this node")]
    Runtime(#[from] minato_runtime::RuntimeError),
}
