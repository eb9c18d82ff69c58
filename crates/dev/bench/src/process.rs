//! Memory and CPU of a process and its descendants, and the machine's load, from /proc.

use std::collections::HashMap;
use std::fs;

/// What a tree of processes uses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) processes: usize,
    /// Proportional set size: shared pages are counted once over all who share them.
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_ticks: u64,
}

/// Clock ticks per second in /proc, on every Linux we know (`sysconf(_SC_CLK_TCK)`).
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// Adds up `root` and all its descendants. A process that ends meanwhile counts as far as it got.
pub(crate) fn usage(root: u32) -> Usage {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, parent) in parents() {
        children.entry(parent).or_default().push(pid);
    }
    let (mut total, mut pending) = (Usage::default(), vec![root]);
    while let Some(pid) = pending.pop() {
        pending.extend(children.get(&pid).into_iter().flatten());
        let Some(memory_bytes) = memory_bytes(pid) else { continue };
        total.processes += 1;
        total.memory_bytes += memory_bytes;
        total.cpu_ticks += stat_fields(pid).map_or(0, |fields| number(&fields, 13) + number(&fields, 14));
    }
    total
}

/// Load average over a minute, and the number of CPUs.
pub(crate) fn machine_load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split_whitespace().next().unwrap_or("?");
    let cpus = std::thread::available_parallelism().map_or(0, |count| count.get());
    format!("load {minute} on {cpus} CPUs")
}

fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, number(&stat_fields(pid)?, 3) as u32))).collect()
}

/// The fields of /proc/PID/stat, numbered from 0 as in proc(5) less one; the name, which may hold spaces, is empty.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let after_name = rest.split_whitespace().map(str::to_owned);
    Some([pid.to_string(), String::new()].into_iter().chain(after_name).collect())
}

fn number(fields: &[String], index: usize) -> u64 {
    fields.get(index).and_then(|field| field.parse().ok()).unwrap_or_default()
}

fn memory_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself_and_its_children() {
        let alone = usage(std::process::id());
        assert!(alone.processes >= 1 && alone.memory_bytes > 100_000, "{alone:?}");
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let both = usage(std::process::id());
        assert!(both.processes > alone.processes, "{both:?} after {alone:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
