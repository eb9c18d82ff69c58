//! `/metrics/cadvisor`: every control group by the names that dashboards know from cAdvisor.

use minato_runtime::{CpuUsage, DeviceUsage, MemoryUsage, Resources, Usage};
use prometheus::proto::MetricFamily;

use super::{Families, Kind};
use crate::stats::host::{Direction, Traffic};
use crate::stats::{Reading, running};

const MACHINE_CPUS: Kind = Kind::gauge("machine_cpu_cores", "Number of logical CPU cores.");
const MACHINE_MEMORY: Kind = Kind::gauge("machine_memory_bytes", "Amount of memory installed on the machine.");
const MACHINE_SWAP: Kind = Kind::gauge("machine_swap_bytes", "Amount of swap memory available on the machine.");
const ERROR: Kind =
    Kind::gauge("container_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise");
const LAST_SEEN: Kind = Kind::gauge("container_last_seen", "Last time a container was seen by the exporter");
const STARTED: Kind =
    Kind::gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds.");
const CPU: Kind = Kind::counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.");
const PROCESSES: Kind = Kind::gauge("container_processes", "Number of processes running inside the container.");
const THREADS: Kind = Kind::gauge("container_threads", "Number of threads running inside the container");
const FAULTS: Kind =
    Kind::counter("container_memory_failures_total", "Cumulative count of memory allocation failures.");
const QUOTA: Kind = Kind::gauge("container_spec_cpu_quota", "CPU quota of the container.");
const PERIOD: Kind = Kind::gauge("container_spec_cpu_period", "CPU period of the container.");
const SHARES: Kind = Kind::gauge("container_spec_cpu_shares", "CPU share of the container.");
const MEMORY_LIMIT: Kind = Kind::gauge("container_spec_memory_limit_bytes", "Memory limit for the container.");

/// A series and where its value is found.
type Read<T, V> = (Kind, fn(&T) -> V);

/// Values of processor time; those after the first two are told only where there is a limit.
const CPU_VALUES: [Read<CpuUsage, f64>; 5] = [
    (Kind::counter("container_cpu_user_seconds_total", "Cumulative user cpu time consumed in seconds."), |cpu| {
        cpu.user_nanoseconds as f64 / 1e9
    }),
    (Kind::counter("container_cpu_system_seconds_total", "Cumulative system cpu time consumed in seconds."), |cpu| {
        cpu.system_nanoseconds as f64 / 1e9
    }),
    (Kind::counter("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals."), |cpu| {
        cpu.periods as f64
    }),
    (Kind::counter("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals."), |cpu| {
        cpu.throttled_periods as f64
    }),
    (
        Kind::counter(
            "container_cpu_cfs_throttled_seconds_total",
            "Total time duration the container has been throttled.",
        ),
        |cpu| cpu.throttled_nanoseconds as f64 / 1e9,
    ),
];
/// How many of [`CPU_VALUES`] every group has.
const CPU_VALUES_WITHOUT_LIMIT: usize = 2;

const MEMORY_VALUES: [Read<MemoryUsage, Option<u64>>; 8] = [
    (
        Kind::gauge(
            "container_memory_usage_bytes",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
        ),
        |memory| Some(memory.bytes),
    ),
    (Kind::gauge("container_memory_working_set_bytes", "Current working set in bytes."), |memory| {
        Some(memory.working_set_bytes)
    }),
    (Kind::gauge("container_memory_rss", "Size of RSS in bytes."), |memory| Some(memory.rss_bytes)),
    (Kind::gauge("container_memory_cache", "Number of bytes of page cache memory."), |memory| Some(memory.cache_bytes)),
    (Kind::gauge("container_memory_mapped_file", "Size of memory mapped files in bytes."), |memory| {
        Some(memory.mapped_bytes)
    }),
    (Kind::gauge("container_memory_swap", "Container swap usage in bytes."), |memory| Some(memory.swap_bytes)),
    (Kind::gauge("container_memory_max_usage_bytes", "Maximum memory usage recorded in bytes"), |memory| {
        memory.max_bytes
    }),
    (Kind::counter("container_memory_failcnt", "Number of memory usage hits limits"), |memory| Some(memory.failures)),
];

const DEVICE_VALUES: [Read<DeviceUsage, u64>; 4] = [
    (Kind::counter("container_fs_reads_bytes_total", "Cumulative count of bytes read"), |usage| usage.read_bytes),
    (Kind::counter("container_fs_writes_bytes_total", "Cumulative count of bytes written"), |usage| {
        usage.written_bytes
    }),
    (Kind::counter("container_fs_reads_total", "Cumulative count of reads completed"), |usage| usage.reads),
    (Kind::counter("container_fs_writes_total", "Cumulative count of writes completed"), |usage| usage.writes),
];

const RECEIVED: [Read<Direction, u64>; 4] = [
    (Kind::counter("container_network_receive_bytes_total", "Cumulative count of bytes received"), |direction| {
        direction.bytes
    }),
    (Kind::counter("container_network_receive_packets_total", "Cumulative count of packets received"), |direction| {
        direction.packets
    }),
    (
        Kind::counter(
            "container_network_receive_errors_total",
            "Cumulative count of errors encountered while receiving",
        ),
        |direction| direction.errors,
    ),
    (
        Kind::counter(
            "container_network_receive_packets_dropped_total",
            "Cumulative count of packets dropped while receiving",
        ),
        |direction| direction.dropped,
    ),
];

const SENT: [Read<Direction, u64>; 4] = [
    (Kind::counter("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted"), |direction| {
        direction.bytes
    }),
    (
        Kind::counter("container_network_transmit_packets_total", "Cumulative count of packets transmitted"),
        |direction| direction.packets,
    ),
    (
        Kind::counter(
            "container_network_transmit_errors_total",
            "Cumulative count of errors encountered while transmitting",
        ),
        |direction| direction.errors,
    ),
    (
        Kind::counter(
            "container_network_transmit_packets_dropped_total",
            "Cumulative count of packets dropped while transmitting",
        ),
        |direction| direction.dropped,
    ),
];

/// The labels that every series of a group has.
#[derive(Clone, Copy, Default)]
struct Subject<'a> {
    container: &'a str,
    group: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl<'a> Subject<'a> {
    fn labels(&self, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
        let mut labels = vec![
            ("container", self.container),
            ("id", self.group),
            ("image", self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ];
        labels.extend_from_slice(more);
        labels.sort_unstable();
        labels
    }
}

struct Writer {
    families: Families,
    at: i64,
}

impl Writer {
    fn add(&mut self, kind: Kind, labels: &[(&str, &str)], value: f64) {
        self.families.add(kind, labels, value, Some(self.at));
    }

    fn usage(&mut self, subject: Subject<'_>, usage: &Usage, resources: Option<&Resources>) {
        let plain = subject.labels(&[]);
        self.add(LAST_SEEN, &plain, (self.at / 1000) as f64);
        if let Some(cpu) = &usage.cpu {
            self.add(CPU, &subject.labels(&[("cpu", "total")]), cpu.nanoseconds as f64 / 1e9);
            let limited = resources.and_then(|resources| resources.cpu_quota).is_some_and(|quota| quota > 0);
            let count = if limited { CPU_VALUES.len() } else { CPU_VALUES_WITHOUT_LIMIT };
            for (kind, value) in &CPU_VALUES[..count] {
                self.add(*kind, &plain, value(cpu));
            }
        }
        if let Some(memory) = &usage.memory {
            for (kind, value) in MEMORY_VALUES {
                if let Some(value) = value(memory) {
                    self.add(kind, &plain, value as f64);
                }
            }
            for (kind, value) in [("pgfault", memory.page_faults), ("pgmajfault", memory.major_page_faults)] {
                let labels = subject.labels(&[("failure_type", kind), ("scope", "hierarchy")]);
                self.add(FAULTS, &labels, value as f64);
            }
        }
        for (kind, value) in [(PROCESSES, usage.processes), (THREADS, usage.threads)] {
            if let Some(value) = value {
                self.add(kind, &plain, value as f64);
            }
        }
        for (device, usage) in &usage.devices {
            for (kind, value) in DEVICE_VALUES {
                self.add(kind, &subject.labels(&[("device", device)]), value(usage) as f64);
            }
        }
    }

    fn limits(&mut self, subject: Subject<'_>, resources: &Resources) {
        let plain = subject.labels(&[]);
        if let Some(quota) = resources.cpu_quota.filter(|quota| *quota > 0) {
            self.add(QUOTA, &plain, quota as f64);
        }
        for (kind, value) in [(PERIOD, resources.cpu_period), (SHARES, resources.cpu_shares)] {
            if let Some(value) = value {
                self.add(kind, &plain, value as f64);
            }
        }
        // No limit is 0, as upstream has it.
        let limit = resources.memory_limit_bytes.unwrap_or(0).max(0);
        self.add(MEMORY_LIMIT, &plain, limit as f64);
    }

    fn traffic(&mut self, subject: Subject<'_>, traffic: &[Traffic]) {
        for traffic in traffic {
            let labels = subject.labels(&[("interface", &traffic.interface)]);
            for (values, direction) in [(RECEIVED, &traffic.received), (SENT, &traffic.sent)] {
                for (kind, value) in values {
                    self.add(kind, &labels, value(direction) as f64);
                }
            }
        }
    }
}

pub(super) fn families(reading: &Reading) -> Vec<MetricFamily> {
    let mut writer = Writer { families: Families::default(), at: reading.at.as_millisecond() };
    let host = &reading.host;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    writer.add(MACHINE_CPUS, &[], cpus as f64);
    writer.add(MACHINE_MEMORY, &[], host.memory_bytes as f64);
    writer.add(MACHINE_SWAP, &[], host.swap_bytes as f64);
    let root = Subject { group: "/", ..Subject::default() };
    writer.usage(root, &Usage { cpu: host.cpu, memory: Some(host.memory), ..Usage::default() }, None);
    writer.traffic(root, &host.traffic);
    for picture in &reading.pods {
        let metadata = &picture.pod.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, pod, uid) = (text(&metadata.namespace), text(&metadata.name), text(&metadata.uid));
        let of_pod = Subject { namespace: &namespace, pod: &pod, ..Subject::default() };
        if let Some(sandbox) = reading.runtime.sandboxes.get(&minato_runtime::SandboxId(uid.clone())) {
            let subject = Subject { group: &sandbox.group, ..of_pod };
            writer.usage(subject, &sandbox.usage, None);
            writer.traffic(subject, reading.traffic.get(&uid).map_or(&[], Vec::as_slice));
        }
        for (status, started_at) in running(picture) {
            let Some(group) = reading.runtime.containers.get(&status.id) else { continue };
            let (container, image) = (status.name.as_str(), status.image.as_str());
            let subject = Subject { container, image, name: &status.id.0, group: &group.group, ..of_pod };
            writer.usage(subject, &group.usage, Some(&status.resources));
            writer.limits(subject, &status.resources);
            writer.add(STARTED, &subject.labels(&[]), started_at.as_second() as f64);
        }
    }
    writer.families.add(ERROR, &[], 0.0, None);
    let mut families = writer.families.0;
    families.sort_by(|one, other| one.name().cmp(other.name()));
    families
}
