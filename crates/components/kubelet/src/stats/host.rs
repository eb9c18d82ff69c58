//! What the whole machine uses, from `/proc` and the root of the control groups.

use std::path::Path;

use jiff::Timestamp;
use minato_linux::cgroup::{CpuUsage, Hierarchies, MemoryUsage};
use minato_linux::disk::{self, Space};

/// The machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Processor time.
    pub(crate) cpu: Option<CpuUsage>,
    /// Memory.
    pub(crate) memory: MemoryUsage,
    /// All memory.
    pub(crate) memory_bytes: u64,
    /// All swap.
    pub(crate) swap_bytes: u64,
    /// Traffic of the machine's own interfaces.
    pub(crate) traffic: Vec<Traffic>,
    /// The interface with the default route.
    pub(crate) default_interface: Option<String>,
    /// The file system that holds the data directory.
    pub(crate) space: Option<Space>,
    /// Most processes and threads that there can be.
    pub(crate) pids_max: Option<i64>,
    /// Processes and threads that there are.
    pub(crate) pids: Option<i64>,
    /// When the machine was started.
    pub(crate) started_at: Option<Timestamp>,
    /// This program.
    pub(crate) own: Own,
}

/// What this very process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// Processor time.
    pub(crate) cpu_nanoseconds: u64,
    /// Memory.
    pub(crate) rss_bytes: u64,
    /// Ticks between the machine's start and the process's.
    start_ticks: u64,
}

/// What went through one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) interface: String,
    pub(crate) received: Direction,
    pub(crate) sent: Direction,
}

/// One way through an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Direction {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
}

/// The kernel's unit of time in `/proc`.
const TICKS_PER_SECOND: u64 = 100;
const PAGE_BYTES: u64 = 4096;

impl Host {
    /// Reads everything; what cannot be read stays empty. Blocks.
    pub(super) fn read(data_dir: &Path, cluster_id: &str) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let number = |path: &str| text(path).trim().parse().ok();
        let meminfo = Fields(text("/proc/meminfo"));
        let vmstat = Fields(text("/proc/vmstat"));
        let total = meminfo.kibibytes("MemTotal");
        let bytes = total.saturating_sub(meminfo.kibibytes("MemFree"));
        let swap = meminfo.kibibytes("SwapTotal");
        let mut traffic = parse_traffic(&text("/proc/net/dev"));
        let ours = format!("mn{cluster_id}");
        traffic.retain(|traffic| traffic.interface != "lo" && !traffic.interface.starts_with(&ours));
        let running = text("/proc/loadavg");
        let running = running.split_whitespace().nth(3).and_then(|counts| counts.split_once('/')?.1.parse().ok());
        let stat = text("/proc/stat");
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Self {
            cpu: Hierarchies::detect().ok().and_then(|hierarchies| hierarchies.group("/").usage().cpu),
            memory: MemoryUsage {
                bytes,
                working_set_bytes: bytes.saturating_sub(meminfo.kibibytes("Inactive(file)")),
                rss_bytes: meminfo.kibibytes("AnonPages"),
                cache_bytes: meminfo.kibibytes("Cached"),
                mapped_bytes: meminfo.kibibytes("Mapped"),
                swap_bytes: swap.saturating_sub(meminfo.kibibytes("SwapFree")),
                page_faults: vmstat.number("pgfault"),
                major_page_faults: vmstat.number("pgmajfault"),
                ..MemoryUsage::default()
            },
            memory_bytes: total,
            swap_bytes: swap,
            traffic,
            default_interface: default_interface(&text("/proc/net/route")),
            space: disk::space(data_dir).ok(),
            pids_max: number("/proc/sys/kernel/pid_max"),
            pids: running,
            started_at: boot.and_then(|seconds| Timestamp::from_second(seconds).ok()),
            own: own(&text("/proc/self/stat")),
        }
    }

    /// When this process was started.
    pub(crate) fn own_start(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.own.start_ticks / TICKS_PER_SECOND).ok()?;
        self.started_at?.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    }
}

/// What went through the interfaces that a process sees.
pub(super) fn traffic_of(pid: i32) -> Vec<Traffic> {
    let mut traffic = parse_traffic(&std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default());
    traffic.retain(|traffic| traffic.interface != "lo");
    traffic
}

/// Lines `Key: 12 kB` and `key 12`.
struct Fields(String);

impl Fields {
    fn number(&self, key: &str) -> u64 {
        let mut lines = self.0.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix([':', ' ']));
        lines.find_map(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn kibibytes(&self, key: &str) -> u64 {
        self.number(key) * 1024
    }
}

fn parse_traffic(text: &str) -> Vec<Traffic> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter_map(|(interface, rest)| {
            let values: Vec<u64> = rest.split_whitespace().map_while(|word| word.parse().ok()).collect();
            let direction = |values: &[u64]| match *values {
                [bytes, packets, errors, dropped, ..] => Some(Direction { bytes, packets, errors, dropped }),
                _ => None,
            };
            Some(Traffic {
                interface: interface.trim().to_owned(),
                received: direction(values.get(..8)?)?,
                sent: direction(values.get(8..)?)?,
            })
        })
        .collect()
}

/// Of `/proc/net/route`: interface, destination in hexadecimal, …
fn default_interface(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let interface = words.next()?;
        (words.next()? == "00000000").then(|| interface.to_owned())
    })
}

/// Of `/proc/self/stat`, see proc_pid_stat(5); the program's name in parentheses may hold spaces.
fn own(stat: &str) -> Own {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Own {
        cpu_nanoseconds: (field(14) + field(15)) * (1_000_000_000 / TICKS_PER_SECOND),
        rss_bytes: field(24) * PAGE_BYTES,
        start_ticks: field(22),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop\n\
                    \x20 eth0: 10 1 2 3 0 0 0 0 20 4 5 6 0 0 0 0\n    lo:5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n";
        let traffic = parse_traffic(text);
        assert_eq!(traffic.len(), 2);
        let received = Direction { bytes: 10, packets: 1, errors: 2, dropped: 3 };
        let sent = Direction { bytes: 20, packets: 4, errors: 5, dropped: 6 };
        assert_eq!(traffic[0], Traffic { interface: "eth0".to_owned(), received, sent });
    }

    #[test]
    fn the_default_route_names_its_interface() {
        let routes = "Iface Destination Gateway\nens3 0000000A 00000000 0001\nens3 00000000 0100000A 0003\n";
        assert_eq!(default_interface(routes).as_deref(), Some("ens3"));
        assert_eq!(default_interface("Iface Destination\n"), None);
    }

    #[test]
    fn names_with_spaces_do_not_shift_fields() {
        let mut fields = vec!["0".to_owned(); 50];
        (fields[11], fields[12], fields[19], fields[21]) = ("3".into(), "2".into(), "700".into(), "4".into());
        let own = own(&format!("1 (a (b) c) {}", fields.join(" ")));
        assert_eq!((own.cpu_nanoseconds, own.rss_bytes, own.start_ticks), (50_000_000, 4 * 4096, 700));
    }
}
