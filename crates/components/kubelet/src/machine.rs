//! What this machine has and is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;
use minato_quantity::{Format, Quantity};

/// Capacity and identity, read once.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// `cpu`, `memory`, `ephemeral-storage`, `hugepages-…`, `pods`.
    pub(crate) capacity: BTreeMap<String, Quantity>,
    /// Bytes of memory.
    pub(crate) memory_bytes: i64,
    /// For the node's status.
    pub(crate) info: NodeSystemInfo,
}

impl Machine {
    /// Reads `/proc`, `/sys` and the file system under `data_dir`.
    pub(crate) fn read(data_dir: &Path, max_pods: u32) -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpus = std::thread::available_parallelism().map_or(1, |count| i64::try_from(count.get()).unwrap_or(1));
        let memory_bytes = memory_total(&text("/proc/meminfo"));
        let mut capacity = BTreeMap::new();
        let mut set =
            |name: &str, value: i64, format| capacity.insert(name.to_owned(), Quantity::from_value(value, format));
        set("cpu", cpus, Format::DecimalSi);
        set("memory", memory_bytes, Format::BinarySi);
        set("pods", i64::from(max_pods), Format::DecimalSi);
        if let Some(bytes) = disk_bytes(data_dir) {
            set("ephemeral-storage", bytes, Format::BinarySi);
        }
        for entry in fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(size) = name.strip_prefix("hugepages-").and_then(|name| name.strip_suffix("kB")) else { continue };
            let Ok(kibibytes) = size.parse::<i64>() else { continue };
            let count = fs::read_to_string(entry.path().join("nr_hugepages")).unwrap_or_default();
            let count: i64 = count.trim().parse().unwrap_or(0);
            let size = Quantity::from_value(kibibytes * 1024, Format::BinarySi);
            set(&format!("hugepages-{size}"), count * kibibytes * 1024, Format::BinarySi);
        }
        Self { capacity, memory_bytes, info: system_info(&text) }
    }
}

fn memory_total(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|number| number.trim().parse().ok());
    kibibytes.map_or(0, |kibibytes: i64| kibibytes * 1024)
}

fn disk_bytes(path: &Path) -> Option<i64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    i64::try_from(u128::from(stat.blocks()) * u128::from(stat.fragment_size())).ok()
}

fn system_info(text: &dyn Fn(&str) -> String) -> NodeSystemInfo {
    let os_image = text("/etc/os-release")
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned());
    let version = format!("v1.36.0+minato-{}", env!("CARGO_PKG_VERSION"));
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("minato://{}", env!("CARGO_PKG_VERSION")),
        kernel_version: text("/proc/sys/kernel/osrelease"),
        // Deprecated, and what upstream reports there since v1.33 is the empty string.
        kube_proxy_version: String::new(),
        kubelet_version: version,
        machine_id: text("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image,
        system_uuid: text("/sys/class/dmi/id/product_uuid"),
        swap: None,
    }
}

/// The processor architecture in Go's words.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
