//! What a pod's sandbox is made of: identity, namespaces, cgroup.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Resources;

/// Names a sandbox: the pod's UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SandboxId(pub String);

impl fmt::Display for SandboxId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a pod's containers share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// The pod's UID: letters, digits and dashes.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's host name, at most 64 bytes; not used with `host_network`.
    pub hostname: String,
    /// The containers live in the host's network and UTS namespaces.
    pub host_network: bool,
    /// The containers see the host's processes.
    pub host_pid: bool,
    /// The containers see each other's processes.
    pub share_processes: bool,
    /// The containers live in the host's IPC namespace.
    pub host_ipc: bool,
    /// The pod's cgroup, such as `/minato-1a2b3c4d/burstable/pod<uid>`. Must lie below the cluster's own cgroup.
    pub cgroup_parent: String,
    /// Limits of the pod's cgroup.
    pub resources: Resources,
    /// Where the containers' `log_path`s start.
    pub log_directory: PathBuf,
    /// Kernel parameters of the pod's namespaces, such as `net.ipv4.ip_unprivileged_port_start`.
    pub sysctls: BTreeMap<String, String>,
    /// Whatever the kubelet wants to find again after a restart.
    pub labels: BTreeMap<String, String>,
}

/// A sandbox that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Its name.
    pub id: SandboxId,
    /// The path its network namespace is pinned at; `None` with `host_network`.
    pub netns: Option<PathBuf>,
}

/// A sandbox as listed.
#[derive(Clone, Debug)]
pub struct SandboxStatus {
    /// Its name.
    pub id: SandboxId,
    /// What it was made from.
    pub config: SandboxConfig,
    /// The path its network namespace is pinned at; `None` with `host_network`.
    pub netns: Option<PathBuf>,
    /// When it was created.
    pub created_at: jiff::Timestamp,
    /// Its namespaces exist. `false` after a reboot of the machine: containers can no longer be started in it.
    pub ready: bool,
}
