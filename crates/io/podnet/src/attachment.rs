//! What a pod asks of its network, and what it gets: the seam to the kubelet.

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::NetError;

/// A pod that wants an address. The network namespace exists already and holds nothing but `lo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAttachment {
    /// `metadata.uid`; the identity of the attachment.
    pub uid: String,
    /// `metadata.namespace`, for those who read the records and interface aliases.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Where the pod's network namespace is pinned.
    pub netns: PathBuf,
}

/// What a pod got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAddress {
    /// The pod's address (`status.podIP`).
    pub ip: IpAddr,
    /// The pod's default gateway, a link-local address that every host-side interface answers for.
    pub gateway: IpAddr,
    /// The interface's name inside the pod.
    pub interface: String,
    /// The interface's name on the node.
    pub host_interface: String,
    /// Bytes of the largest packet.
    pub mtu: u32,
}

/// A pod that holds an address, as remembered on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// The interface's name on the node.
    pub host_interface: String,
    /// Where the pod's network namespace was pinned.
    pub netns: PathBuf,
}

/// Gives pods their network: the real one is [`crate::Network`], tests bring their own.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Connects a pod. Done again for the same uid it repairs what is missing and gives the same address.
    async fn attach(&self, pod: &PodAttachment) -> Result<PodAddress, NetError>;

    /// Takes everything of a pod away and frees its address; a uid that is not attached is fine.
    async fn detach(&self, uid: &str) -> Result<(), NetError>;

    /// Every pod that holds an address.
    async fn list(&self) -> Result<Vec<Attached>, NetError>;
}
