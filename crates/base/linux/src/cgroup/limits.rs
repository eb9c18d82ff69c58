//! Limits of a group, written in the words of the host's version.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::{Cgroup, Version};

/// What a group may use; `None` leaves things as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU weight as version 1 has it: 1024 is one CPU's worth.
    pub cpu_shares: Option<u64>,
    /// CPU time per period, in microseconds; not above 0 is no limit.
    pub cpu_quota: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period: Option<u64>,
    /// Memory without swap; not above 0 is no limit.
    pub memory_bytes: Option<i64>,
    /// Processes and threads; not above 0 is no limit.
    pub pids: Option<i64>,
    /// CPUs, such as `0-3`.
    pub cpuset_cpus: Option<String>,
    /// Huge pages in bytes, by their size such as `2MB`.
    pub hugepages: BTreeMap<String, u64>,
    /// When memory runs out, all processes of the group are killed together (version 2 only).
    pub oom_group: bool,
}

/// A limit that could not be set.
#[derive(Debug, thiserror::Error)]
#[error("failed to write {value:?} to {file} of cgroup {group}")]
pub struct LimitError {
    group: String,
    file: String,
    value: String,
    source: io::Error,
}

const DEFAULT_CPU_PERIOD: u64 = 100_000;

impl Cgroup {
    /// Sets limits. The group must exist.
    ///
    /// # Errors
    /// [`LimitError`] names the file; the limits before it are set.
    pub fn limit(&self, limits: &Limits) -> Result<(), LimitError> {
        let v2 = self.hierarchies.version() == Version::V2;
        let period = limits.cpu_period.filter(|period| *period > 0);
        if let Some(shares) = limits.cpu_shares {
            let shares = shares.clamp(2, 262_144);
            if v2 {
                self.set("cpu", "cpu.weight", &weight_from_shares(shares).to_string())?;
            } else {
                self.set("cpu", "cpu.shares", &shares.to_string())?;
            }
        }
        if let Some(quota) = limits.cpu_quota {
            if v2 {
                let quota = if quota > 0 { quota.to_string() } else { "max".into() };
                self.set("cpu", "cpu.max", &format!("{quota} {}", period.unwrap_or(DEFAULT_CPU_PERIOD)))?;
            } else {
                if let Some(period) = period {
                    self.set("cpu", "cpu.cfs_period_us", &period.to_string())?;
                }
                self.set("cpu", "cpu.cfs_quota_us", &if quota > 0 { quota } else { -1 }.to_string())?;
            }
        }
        if let Some(bytes) = limits.memory_bytes {
            self.limit_memory(bytes, v2)?;
        }
        if v2 && limits.oom_group {
            // Since Linux 4.19; without it single processes are killed.
            let _ = self.set("memory", "memory.oom.group", "1");
        }
        if let Some(pids) = limits.pids {
            self.set("pids", "pids.max", &if pids > 0 { pids.to_string() } else { "max".into() })?;
        }
        if let Some(cpus) = &limits.cpuset_cpus {
            self.set("cpuset", "cpuset.cpus", cpus)?;
        }
        for (size, bytes) in &limits.hugepages {
            let file = if v2 { format!("hugetlb.{size}.max") } else { format!("hugetlb.{size}.limit_in_bytes") };
            self.set("hugetlb", &file, &bytes.to_string())?;
        }
        Ok(())
    }

    /// Memory and swap together may not exceed the limit: a container does not swap more than it was given.
    fn limit_memory(&self, bytes: i64, v2: bool) -> Result<(), LimitError> {
        if v2 {
            let value = if bytes > 0 { bytes.to_string() } else { "max".into() };
            self.set("memory", "memory.max", &value)?;
            // Not there without swap accounting, and then not needed.
            let _ = self.set("memory", "memory.swap.max", if bytes > 0 { "0" } else { "max" });
            return Ok(());
        }
        let value = if bytes > 0 { bytes } else { -1 }.to_string();
        // The kernel wants memory+swap never below memory: raise the one first, or lower the other first.
        let swap = self.set("memory", "memory.memsw.limit_in_bytes", &value);
        self.set("memory", "memory.limit_in_bytes", &value)?;
        if swap.is_err() {
            let _ = self.set("memory", "memory.memsw.limit_in_bytes", &value);
        }
        Ok(())
    }

    fn set(&self, controller: &str, file: &str, value: &str) -> Result<(), LimitError> {
        let write = || {
            let missing = || io::Error::other(format!("this machine has no cgroup controller {controller:?}"));
            let path = self.file(controller, file).ok_or_else(missing)?;
            fs::OpenOptions::new().write(true).open(path).and_then(|mut file| {
                use std::io::Write as _;
                file.write_all(value.as_bytes())
            })
        };
        write().map_err(|source| LimitError {
            group: self.path().display().to_string(),
            file: file.to_owned(),
            value: value.to_owned(),
            source,
        })
    }
}

/// The conversion of Kubernetes and the OCI runtimes: 2–262144 to 1–10000.
fn weight_from_shares(shares: u64) -> u64 {
    1 + ((shares - 2) * 9999) / 262_142
}

#[cfg(test)]
mod tests {
    use super::weight_from_shares;

    #[test]
    fn shares_become_weights_as_kubernetes_converts() {
        for (shares, weight) in [(2, 1), (102, 4), (1024, 39), (262_144, 10_000)] {
            assert_eq!(weight_from_shares(shares), weight);
        }
    }
}
