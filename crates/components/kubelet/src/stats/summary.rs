//! `/stats/summary`: the document of upstream's `k8s.io/kubelet/pkg/apis/stats/v1alpha1`.

use jiff::Timestamp;
use minato_linux::disk::{Space, Usage as DiskUsage};
use minato_runtime::{ContainerStatus, GroupUsage, MemoryUsage, RuntimeUsage, SandboxId};
use serde::Serialize;

use super::disk::{DiskUse, PodDisk};
use super::host::Traffic;
use super::{Rated, running};
use crate::node::Node;
use crate::worker::Picture;

/// How much is wanted.
pub(crate) enum Detail<'a> {
    /// Processors and memory.
    CpuAndMemory,
    /// That and everything else.
    Everything(&'a DiskUse),
}

/// The whole document.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    node: NodeStats,
    pods: Vec<PodStats>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStats {
    node_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system_containers: Vec<ContainerStats>,
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<NetworkStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<RuntimeStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rlimit: Option<RlimitStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<SwapStats>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodReference,
    start_time: String,
    containers: Vec<ContainerStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<NetworkStats>,
    #[serde(rename = "volume", skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<VolumeStats>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<FsStats>,
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    process_stats: Option<ProcessStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<SwapStats>,
}

#[derive(Debug, Default, Serialize)]
struct PodReference {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats {
    name: String,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<CpuStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootfs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<FsStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap: Option<SwapStats>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    usage_bytes: u64,
    working_set_bytes: u64,
    rss_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FsStats {
    time: String,
    available_bytes: u64,
    capacity_bytes: u64,
    used_bytes: u64,
    inodes_free: u64,
    inodes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_used: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeStats {
    image_fs: FsStats,
    container_fs: FsStats,
}

#[derive(Debug, Serialize)]
struct VolumeStats {
    #[serde(flatten)]
    fs: FsStats,
    name: String,
}

#[derive(Debug, Serialize)]
struct NetworkStats {
    time: String,
    #[serde(flatten)]
    default: Option<InterfaceStats>,
    interfaces: Vec<InterfaceStats>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceStats {
    name: String,
    rx_bytes: u64,
    rx_errors: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

#[derive(Debug, Serialize)]
struct RlimitStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maxpid: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curproc: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SwapStats {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_available_bytes: Option<u64>,
    swap_usage_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
struct ProcessStats {
    process_count: u64,
}

/// As upstream writes times: to the second, in UTC.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Summary {
    /// The document of one reading.
    pub(crate) fn new(node: &Node, rated: &Rated, detail: &Detail<'_>) -> Self {
        let mut pods: Vec<PodStats> =
            rated.now.pods.iter().filter_map(|picture| pod(rated, picture, detail, rated.now.host.space)).collect();
        pods.sort_by(|one, other| {
            let key = |pod: &PodStats| (pod.pod_ref.namespace.clone(), pod.pod_ref.name.clone());
            key(one).cmp(&key(other))
        });
        Self { node: node_stats(node, rated, detail), pods }
    }
}

fn node_stats(node: &Node, rated: &Rated, detail: &Detail<'_>) -> NodeStats {
    let (now, host) = (&rated.now, &rated.now.host);
    let at = time(now.at);
    let cpu = host.cpu.map(|cpu| CpuStats {
        time: at.clone(),
        usage_nano_cores: rated.rate(|reading| Some(reading.host.cpu?.nanoseconds)),
        usage_core_nano_seconds: cpu.nanoseconds,
    });
    let memory = MemoryStats {
        available_bytes: Some(host.memory_bytes.saturating_sub(host.memory.working_set_bytes)),
        ..memory(&at, &host.memory, None)
    };
    let mut stats = NodeStats {
        node_name: node.config.node_name.clone(),
        start_time: host.started_at.map(time),
        cpu,
        memory: Some(memory),
        ..NodeStats::default()
    };
    stats.system_containers = system_containers(rated, &at);
    if let Detail::Everything(disk) = detail {
        let interfaces: Vec<InterfaceStats> = host.traffic.iter().map(interface).collect();
        let default = host.default_interface.as_ref();
        let default = default.and_then(|name| interfaces.iter().find(|stats| stats.name == *name).cloned());
        stats.network = Some(NetworkStats { time: at.clone(), default, interfaces });
        let used = host.space.map(|space| space.capacity_bytes.saturating_sub(space.available_bytes));
        let all = used.map(|used| DiskUsage { bytes: used, inodes: 0 });
        stats.fs = fs(&at, all, host.space).map(|stats| FsStats { inodes_used: inodes_used(host.space), ..stats });
        let layers = disk.layers.values().fold(DiskUsage::default(), |sum, layer| add(sum, *layer));
        let images = DiskUsage { bytes: disk.image_bytes, inodes: 0 };
        let measured = time(disk.at);
        stats.runtime = fs(&measured, Some(images), host.space).zip(fs(&measured, Some(layers), host.space)).map(
            |(image_fs, container_fs)| RuntimeStats {
                image_fs: FsStats { inodes_used: inodes_used(host.space), ..image_fs },
                container_fs,
            },
        );
        stats.rlimit = Some(RlimitStats { time: at.clone(), maxpid: host.pids_max, curproc: host.pids });
        let available = host.swap_bytes.saturating_sub(host.memory.swap_bytes);
        stats.swap = Some(SwapStats {
            time: at,
            swap_available_bytes: Some(available),
            swap_usage_bytes: host.memory.swap_bytes,
        });
    }
    stats
}

/// `kubelet`: this process; `pods`: all of them together.
fn system_containers(rated: &Rated, at: &str) -> Vec<ContainerStats> {
    let (now, host) = (&rated.now, &rated.now.host);
    let own = &host.own;
    let kubelet = ContainerStats {
        name: "kubelet".to_owned(),
        start_time: host.own_start().map(time).unwrap_or_default(),
        cpu: Some(CpuStats {
            time: at.to_owned(),
            usage_nano_cores: rated.rate(|reading| Some(reading.host.own.cpu_nanoseconds)),
            usage_core_nano_seconds: own.cpu_nanoseconds,
        }),
        memory: Some(MemoryStats {
            time: at.to_owned(),
            usage_bytes: own.rss_bytes,
            working_set_bytes: own.rss_bytes,
            rss_bytes: own.rss_bytes,
            ..MemoryStats::default()
        }),
        ..ContainerStats::default()
    };
    let groups = || now.runtime.sandboxes.values();
    let spent = groups().filter_map(|group| Some(group.usage.cpu?.nanoseconds)).sum();
    let used = groups().filter_map(|group| group.usage.memory).fold(MemoryUsage::default(), |sum, one| MemoryUsage {
        bytes: sum.bytes + one.bytes,
        working_set_bytes: sum.working_set_bytes + one.working_set_bytes,
        rss_bytes: sum.rss_bytes + one.rss_bytes,
        page_faults: sum.page_faults + one.page_faults,
        major_page_faults: sum.major_page_faults + one.major_page_faults,
        ..sum
    });
    let rate = now.runtime.sandboxes.keys().filter_map(|id| group_rate(rated, |usage| usage.sandboxes.get(id))).sum();
    let pods = ContainerStats {
        name: "pods".to_owned(),
        start_time: host.started_at.map(time).unwrap_or_default(),
        cpu: Some(CpuStats { time: at.to_owned(), usage_nano_cores: Some(rate), usage_core_nano_seconds: spent }),
        memory: Some(MemoryStats {
            available_bytes: Some(host.memory_bytes.saturating_sub(used.working_set_bytes)),
            ..memory(at, &used, None)
        }),
        ..ContainerStats::default()
    };
    vec![kubelet, pods]
}

fn pod(rated: &Rated, picture: &Picture, detail: &Detail<'_>, space: Option<Space>) -> Option<PodStats> {
    let metadata = &picture.pod.metadata;
    let uid = metadata.uid.clone()?;
    let now = &rated.now;
    let at = time(now.at);
    let sandbox = SandboxId(uid.clone());
    let group = now.runtime.sandboxes.get(&sandbox)?;
    let nothing = PodDisk::default();
    let disk = match detail {
        Detail::CpuAndMemory => None,
        Detail::Everything(found) => Some((*found, found.pods.get(&uid).unwrap_or(&nothing))),
    };
    let containers: Vec<ContainerStats> =
        running(picture).filter_map(|(status, started_at)| container(rated, status, started_at, disk, space)).collect();
    let started = picture.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let mut stats = PodStats {
        pod_ref: PodReference {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: uid.clone(),
        },
        start_time: started.map(|started| time(started.0)).unwrap_or_default(),
        cpu: group.usage.cpu.map(|cpu| CpuStats {
            time: at.clone(),
            usage_nano_cores: group_rate(rated, |usage| usage.sandboxes.get(&sandbox))
                .or_else(|| rated.rate_since(started?.0, cpu.nanoseconds)),
            usage_core_nano_seconds: cpu.nanoseconds,
        }),
        memory: group.usage.memory.map(|used| memory(&at, &used, None)),
        containers,
        ..PodStats::default()
    };
    if let Some((all, disk)) = disk {
        let measured = time(all.at);
        stats.network = now.traffic.get(&uid).map(|traffic| {
            let interfaces: Vec<InterfaceStats> = traffic.iter().map(interface).collect();
            NetworkStats { time: at.clone(), default: interfaces.first().cloned(), interfaces }
        });
        stats.volumes = disk
            .volumes
            .iter()
            .filter_map(|(name, volume)| {
                let fs = fs(&measured, Some(volume.usage), Some(volume.space))?;
                Some(VolumeStats { fs, name: name.clone() })
            })
            .collect();
        let layers = picture.containers.iter().filter_map(|status| all.layers.get(&status.id).copied());
        let volumes = disk.volumes.values().filter(|volume| !volume.in_memory).map(|volume| volume.usage);
        let total = layers.chain(volumes).chain(disk.logs.values().copied()).fold(DiskUsage::default(), add);
        stats.ephemeral_storage = fs(&measured, Some(total), space);
        stats.process_stats = group.usage.processes.map(|process_count| ProcessStats { process_count });
        stats.swap = group.usage.memory.map(|used| SwapStats {
            time: at,
            swap_available_bytes: None,
            swap_usage_bytes: used.swap_bytes,
        });
    }
    Some(stats)
}

fn container(
    rated: &Rated,
    status: &ContainerStatus,
    started_at: Timestamp,
    disk: Option<(&DiskUse, &PodDisk)>,
    space: Option<Space>,
) -> Option<ContainerStats> {
    let group = rated.now.runtime.containers.get(&status.id)?;
    let at = time(rated.now.at);
    let limit =
        status.resources.memory_limit_bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    let measured = disk.map(|(all, _)| time(all.at)).unwrap_or_default();
    Some(ContainerStats {
        name: status.name.clone(),
        start_time: time(started_at),
        cpu: group.usage.cpu.map(|cpu| CpuStats {
            time: at.clone(),
            usage_nano_cores: group_rate(rated, |usage| usage.containers.get(&status.id))
                .or_else(|| rated.rate_since(started_at, cpu.nanoseconds)),
            usage_core_nano_seconds: cpu.nanoseconds,
        }),
        memory: group.usage.memory.map(|used| memory(&at, &used, limit)),
        rootfs: disk.and_then(|(all, _)| fs(&measured, all.layers.get(&status.id).copied(), space)),
        logs: disk.and_then(|(_, pod)| fs(&measured, pod.logs.get(&status.name).copied(), space)),
        swap: disk.and(group.usage.memory).map(|used| SwapStats {
            time: at,
            swap_available_bytes: None,
            swap_usage_bytes: used.swap_bytes,
        }),
    })
}

/// The rate of what `find` finds in both readings.
fn group_rate(rated: &Rated, find: impl Fn(&RuntimeUsage) -> Option<&GroupUsage>) -> Option<u64> {
    rated.rate(|reading| find(&reading.runtime)?.usage.cpu.map(|cpu| cpu.nanoseconds))
}

fn memory(at: &str, used: &MemoryUsage, limit: Option<u64>) -> MemoryStats {
    MemoryStats {
        time: at.to_owned(),
        available_bytes: limit.map(|limit| limit.saturating_sub(used.working_set_bytes)),
        usage_bytes: used.bytes,
        working_set_bytes: used.working_set_bytes,
        rss_bytes: used.rss_bytes,
        page_faults: used.page_faults,
        major_page_faults: used.major_page_faults,
    }
}

fn fs(at: &str, used: Option<DiskUsage>, space: Option<Space>) -> Option<FsStats> {
    let (used, space) = (used?, space?);
    Some(FsStats {
        time: at.to_owned(),
        available_bytes: space.available_bytes,
        capacity_bytes: space.capacity_bytes,
        used_bytes: used.bytes,
        inodes_free: space.inodes_free,
        inodes: space.inodes,
        inodes_used: Some(used.inodes),
    })
}

fn inodes_used(space: Option<Space>) -> Option<u64> {
    space.map(|space| space.inodes.saturating_sub(space.inodes_free))
}

fn add(sum: DiskUsage, one: DiskUsage) -> DiskUsage {
    DiskUsage { bytes: sum.bytes + one.bytes, inodes: sum.inodes + one.inodes }
}

fn interface(traffic: &Traffic) -> InterfaceStats {
    InterfaceStats {
        name: traffic.interface.clone(),
        rx_bytes: traffic.received.bytes,
        rx_errors: traffic.received.errors,
        tx_bytes: traffic.sent.bytes,
        tx_errors: traffic.sent.errors,
    }
}
