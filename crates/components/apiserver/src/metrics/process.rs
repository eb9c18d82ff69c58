//! `process_*`: what the kernel says of this process (proc(5)).

use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Ticks per second of the times in `/proc/self/stat`: USER_HZ, which Linux has fixed for its user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes of a page on the platforms that are served.
const PAGE_BYTES: f64 = 4096.0;

/// The series as they are now; those that cannot be read are left out.
pub(super) fn families() -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let (Some(value), Ok(gauge)) = (value, Gauge::new(name, help)) {
            gauge.set(value);
            families.extend(gauge.collect());
        }
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold spaces; what follows begins with field 3.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied();
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", field(23));
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", field(24).map(|pages| pages * PAGE_BYTES));
    gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        start_time(field(22)),
    );
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    gauge("process_open_fds", "Number of open file descriptors.", open);
    gauge("process_max_fds", "Maximum number of open file descriptors.", descriptors_max());
    let used = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    if let (Some(used), Ok(counter)) =
        (used, Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."))
    {
        counter.inc_by(used);
        families.extend(counter.collect());
    }
    families
}

fn start_time(ticks_after_boot: Option<f64>) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks_after_boot? / TICKS_PER_SECOND)
}

fn descriptors_max() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
