//! What can go wrong when the pod network is changed.

use std::io;
use std::path::PathBuf;

use minato_rules::{Ipv4Cidr, ParseCidrError};

/// Why the pod network could not be opened, or a pod not be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The cluster id becomes part of interface and table names.
    #[error("cluster id {0:?} is not 8 lower-case hex digits")]
    ClusterId(String),
    /// The node's range is no range.
    #[error(transparent)]
    Range(#[from] ParseCidrError),
    /// The node's range has no room for pods.
    #[error("pod range {0} is smaller than a /30")]
    RangeTooSmall(Ipv4Cidr),
    /// Every address of the node's range is taken.
    #[error("no free address in the pod range {0}")]
    NoFreeAddress(Ipv4Cidr),
    /// The records of attached pods, or of changed kernel settings, could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Record {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The records exist but are damaged, and pods are connected.
    #[error("{} is damaged while pods are connected; stop the pods of this node and remove the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the text stops making sense.
        source: serde_json::Error,
    },
    /// The pod's namespace could not be entered.
    #[error("failed to enter the network namespace {}", path.display())]
    Netns {
        /// Where it was expected.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No connection to the kernel's routing tables.
    #[error("failed to open a routing socket")]
    Socket(#[source] io::Error),
    /// The kernel refused a change of interfaces, addresses or routes.
    #[error("failed to {action}")]
    Route {
        /// What was tried, on what.
        action: String,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// An interface that was just made is gone.
    #[error("interface {0} is not there")]
    InterfaceGone(String),
    /// A kernel setting could not be changed.
    #[error("failed to set {} to {value}", path.display())]
    Setting {
        /// The file below `/proc/sys`.
        path: PathBuf,
        /// The wanted value.
        value: String,
        /// What the system said.
        source: io::Error,
    },
    /// The packet filter refused.
    #[error(transparent)]
    Firewall(#[from] crate::NftError),
    /// The task that did the work was cancelled.
    #[error("work in the pod's namespace was cancelled")]
    Cancelled,
}
