//! What sandboxes and containers use.

use std::collections::BTreeMap;

use jiff::Timestamp;
pub use minato_linux::cgroup::{CpuUsage, DeviceUsage, MemoryUsage, Usage};
pub use minato_linux::disk::Usage as DiskUsage;

use crate::{ContainerId, SandboxId};

/// What runs here and what it uses, read at one time.
#[derive(Clone, Debug)]
pub struct RuntimeUsage {
    /// When it was read.
    pub at: Timestamp,
    /// Whole pods: their containers and what came and went before them.
    pub sandboxes: BTreeMap<SandboxId, GroupUsage>,
    /// Running containers.
    pub containers: BTreeMap<ContainerId, GroupUsage>,
}

/// A group of processes and what it uses.
#[derive(Clone, Debug, Default)]
pub struct GroupUsage {
    /// The group's path, such as `/minato-1a2b3c4d/burstable/pod…`.
    pub group: String,
    /// What it uses.
    pub usage: Usage,
}
