//! The network of the pods on one node.
//!
//! [`Network`] connects each pod by a veth of its own and a host route ([`PodNetwork`] is the seam to the kubelet).
//! [`Firewall`] programs service traffic, and the source addresses of what leaves the node, by nftables. Both talk to
//! the kernel by netlink; no `ip` or `nft` program is called.
//!
//! Everything on the host carries the cluster's id in its name, so several clusters live side by side and
//! [`teardown`] finds exactly what is its own.

mod attachment;
mod conntrack;
mod error;
mod firewall;
mod links;
mod network;
mod nft;
mod records;
mod settings;

pub use attachment::{Attached, PodAddress, PodAttachment, PodNetwork};
pub use error::NetError;
pub use firewall::{Firewall, FirewallConfig};
pub use minato_rules::{Ipv4Cidr, ParseCidrError};
pub use network::{Config, GATEWAY, Network, teardown};
pub use nft::socket::NftError;
