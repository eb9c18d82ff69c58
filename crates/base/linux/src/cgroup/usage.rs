//! What a group uses now, read from the files of the host's version.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Cgroup, Layout, Version, subdirectories};

/// What a group and those below it use. What the machine does not count is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: Option<CpuUsage>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Processes.
    pub processes: Option<u64>,
    /// Processes and their threads.
    pub threads: Option<u64>,
    /// What was read and written, by block device (`major:minor`).
    pub devices: BTreeMap<String, DeviceUsage>,
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// In all.
    pub nanoseconds: u64,
    /// Outside the kernel.
    pub user_nanoseconds: u64,
    /// Inside the kernel.
    pub system_nanoseconds: u64,
    /// Periods in which a limit counted.
    pub periods: u64,
    /// Those in which the limit was reached.
    pub throttled_periods: u64,
    /// How long the group had to wait because of it.
    pub throttled_nanoseconds: u64,
}

/// Memory in bytes, and page faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All of it, the page cache included.
    pub bytes: u64,
    /// Without the part of the page cache that is easy to give back.
    pub working_set_bytes: u64,
    /// Memory that no file stands behind.
    pub rss_bytes: u64,
    /// The page cache.
    pub cache_bytes: u64,
    /// Files mapped into memory.
    pub mapped_bytes: u64,
    /// Swapped out.
    pub swap_bytes: u64,
    /// The most that was ever used, if the machine tells.
    pub max_bytes: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// Faults that a page in memory could serve, and all others.
    pub page_faults: u64,
    /// Faults that needed the disk.
    pub major_page_faults: u64,
}

/// Traffic with one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceUsage {
    /// Read from it.
    pub read_bytes: u64,
    /// Written to it.
    pub written_bytes: u64,
    /// Read requests.
    pub reads: u64,
    /// Write requests.
    pub writes: u64,
}

/// What `/proc` and cgroups count CPU time in on Linux: 100 a second.
const TICK_NANOSECONDS: u64 = 10_000_000;

impl Cgroup {
    /// What the group uses now. A dozen small files are read; a group that does not exist uses nothing that is known.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let processes = self.first_directory().filter(|directory| directory.is_dir());
        Usage {
            cpu: self.cpu_usage(),
            memory: self.memory_usage(),
            processes: processes.map(|directory| count_processes(&directory)),
            threads: self.number("pids", &["pids.current"]),
            devices: self.device_usage(),
        }
    }

    /// Processes are in every hierarchy, so one tells of all.
    fn first_directory(&self) -> Option<std::path::PathBuf> {
        let mount = match &self.hierarchies.layout {
            Layout::V1(_) => ["memory", "cpuacct"].iter().find_map(|name| self.hierarchies.controller(name))?,
            Layout::V2(mount) => mount,
        };
        Some(mount.join(&self.path))
    }

    fn cpu_usage(&self) -> Option<CpuUsage> {
        let throttling = self.table("cpu", "cpu.stat");
        let of = |table: &BTreeMap<String, u64>, key: &str| table.get(key).copied().unwrap_or(0);
        Some(match self.hierarchies.version() {
            Version::V1 => {
                let split = self.table("cpuacct", "cpuacct.stat");
                CpuUsage {
                    nanoseconds: self.number("cpuacct", &["cpuacct.usage"])?,
                    user_nanoseconds: of(&split, "user") * TICK_NANOSECONDS,
                    system_nanoseconds: of(&split, "system") * TICK_NANOSECONDS,
                    periods: of(&throttling, "nr_periods"),
                    throttled_periods: of(&throttling, "nr_throttled"),
                    throttled_nanoseconds: of(&throttling, "throttled_time"),
                }
            }
            Version::V2 => CpuUsage {
                nanoseconds: throttling.get("usage_usec")? * 1000,
                user_nanoseconds: of(&throttling, "user_usec") * 1000,
                system_nanoseconds: of(&throttling, "system_usec") * 1000,
                periods: of(&throttling, "nr_periods"),
                throttled_periods: of(&throttling, "nr_throttled"),
                throttled_nanoseconds: of(&throttling, "throttled_usec") * 1000,
            },
        })
    }

    fn memory_usage(&self) -> Option<MemoryUsage> {
        let bytes = self.number("memory", &["memory.usage_in_bytes", "memory.current"])?;
        let table = self.table("memory", "memory.stat");
        let of = |key: &str| table.get(key).copied().unwrap_or(0);
        Some(match self.hierarchies.version() {
            Version::V1 => MemoryUsage {
                bytes,
                working_set_bytes: bytes.saturating_sub(of("total_inactive_file")),
                rss_bytes: of("total_rss"),
                cache_bytes: of("total_cache"),
                mapped_bytes: of("total_mapped_file"),
                swap_bytes: of("total_swap"),
                max_bytes: self.number("memory", &["memory.max_usage_in_bytes"]),
                failures: self.number("memory", &["memory.failcnt"]).unwrap_or(0),
                page_faults: of("total_pgfault"),
                major_page_faults: of("total_pgmajfault"),
            },
            Version::V2 => MemoryUsage {
                bytes,
                working_set_bytes: bytes.saturating_sub(of("inactive_file")),
                rss_bytes: of("anon"),
                cache_bytes: of("file"),
                mapped_bytes: of("file_mapped"),
                swap_bytes: self.number("memory", &["memory.swap.current"]).unwrap_or(0),
                max_bytes: self.number("memory", &["memory.peak"]),
                failures: self.table("memory", "memory.events").get("max").copied().unwrap_or(0),
                page_faults: of("pgfault"),
                major_page_faults: of("pgmajfault"),
            },
        })
    }

    fn device_usage(&self) -> BTreeMap<String, DeviceUsage> {
        let read = |controller: &str, file: &str| {
            self.file(controller, file).and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default()
        };
        match self.hierarchies.version() {
            Version::V1 => devices_of_version_1(
                &read("blkio", "blkio.throttle.io_service_bytes_recursive"),
                &read("blkio", "blkio.throttle.io_serviced_recursive"),
            ),
            Version::V2 => devices_of_version_2(&read("io", "io.stat")),
        }
    }

    /// A file of lines `key value`.
    fn table(&self, controller: &str, file: &str) -> BTreeMap<String, u64> {
        let text = self.file(controller, file).and_then(|path| fs::read_to_string(path).ok());
        parse_table(&text.unwrap_or_default())
    }
}

fn parse_table(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?))).collect()
}

fn count_processes(directory: &Path) -> u64 {
    let own = fs::read_to_string(directory.join("cgroup.procs")).map_or(0, |text| text.lines().count() as u64);
    own + subdirectories(directory).iter().map(|below| count_processes(below)).sum::<u64>()
}

/// Lines `8:0 Read 4096` of one file with bytes and one with requests.
fn devices_of_version_1(bytes: &str, requests: &str) -> BTreeMap<String, DeviceUsage> {
    let mut devices: BTreeMap<String, DeviceUsage> = BTreeMap::new();
    for (text, in_bytes) in [(bytes, true), (requests, false)] {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let &[device, operation, value] = words.as_slice() else { continue };
            let Ok(value) = value.parse() else { continue };
            let usage = devices.entry(device.to_owned()).or_default();
            match (operation, in_bytes) {
                ("Read", true) => usage.read_bytes = value,
                ("Write", true) => usage.written_bytes = value,
                ("Read", false) => usage.reads = value,
                ("Write", false) => usage.writes = value,
                _ => {}
            }
        }
    }
    devices
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`.
fn devices_of_version_2(text: &str) -> BTreeMap<String, DeviceUsage> {
    let mut devices = BTreeMap::new();
    for line in text.lines() {
        let Some((device, rest)) = line.split_once(' ') else { continue };
        let mut usage = DeviceUsage::default();
        for (key, value) in rest.split(' ').filter_map(|pair| pair.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => usage.read_bytes = value,
                "wbytes" => usage.written_bytes = value,
                "rios" => usage.reads = value,
                "wios" => usage.writes = value,
                _ => {}
            }
        }
        devices.insert(device.to_owned(), usage);
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_of_devices() {
        let usage = DeviceUsage { read_bytes: 4096, written_bytes: 512, reads: 2, writes: 1 };
        let expected = BTreeMap::from([("8:0".to_owned(), usage)]);
        assert_eq!(devices_of_version_2("8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n"), expected);
        let bytes = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Total 4608\nTotal 4608\n";
        let requests = "8:0 Read 2\n8:0 Write 1\nTotal 3\n";
        assert_eq!(devices_of_version_1(bytes, requests), expected);
    }

    #[test]
    fn tables_keep_what_are_numbers() {
        let table = parse_table("anon 12\nfile 7\nbroken\nodd x\n");
        assert_eq!(table, BTreeMap::from([("anon".to_owned(), 12), ("file".to_owned(), 7)]));
    }

    #[test]
    fn this_very_process_uses_something() {
        let Ok(hierarchies) = super::super::Hierarchies::detect() else { return };
        let usage = hierarchies.group("/").usage();
        assert!(usage.cpu.is_some_and(|cpu| cpu.nanoseconds > 0), "{usage:?}");
        assert!(usage.processes.is_some_and(|processes| processes > 0), "{usage:?}");
    }
}
