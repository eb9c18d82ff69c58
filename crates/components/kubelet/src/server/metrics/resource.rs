//! `/metrics/resource`: what autoscaling and `kubectl top` live on (KEP-727).

use prometheus::proto::MetricFamily;

use super::{Families, Kind};
use crate::stats::{Reading, running};

const CONTAINER_CPU: Kind = Kind::counter(
    "container_cpu_usage_seconds_total",
    "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
);
const CONTAINER_MEMORY: Kind =
    Kind::gauge("container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes");
const CONTAINER_START: Kind =
    Kind::gauge("container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds");
const CONTAINER_SWAP: Kind = Kind::gauge(
    "container_swap_usage_bytes",
    "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
);
const NODE_CPU: Kind =
    Kind::counter("node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
const NODE_MEMORY: Kind =
    Kind::gauge("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes");
const NODE_SWAP: Kind = Kind::gauge(
    "node_swap_usage_bytes",
    "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
);
const POD_CPU: Kind =
    Kind::counter("pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
const POD_MEMORY: Kind =
    Kind::gauge("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes");
const POD_SWAP: Kind = Kind::gauge(
    "pod_swap_usage_bytes",
    "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
);
const ERROR: Kind = Kind::gauge(
    "resource_scrape_error",
    "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
);

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

pub(super) fn families(reading: &Reading) -> Vec<MetricFamily> {
    let mut families = Families::default();
    let at = Some(reading.at.as_millisecond());
    let host = &reading.host;
    if let Some(cpu) = host.cpu {
        families.add(NODE_CPU, &[], seconds(cpu.nanoseconds), at);
    }
    families.add(NODE_MEMORY, &[], host.memory.working_set_bytes as f64, at);
    families.add(NODE_SWAP, &[], host.memory.swap_bytes as f64, at);
    for picture in &reading.pods {
        let metadata = &picture.pod.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, pod) = (text(&metadata.namespace), text(&metadata.name));
        let of_pod = [("namespace", namespace.as_str()), ("pod", pod.as_str())];
        if let Some(group) = reading.runtime.sandboxes.get(&minato_runtime::SandboxId(text(&metadata.uid))) {
            if let Some(cpu) = group.usage.cpu {
                families.add(POD_CPU, &of_pod, seconds(cpu.nanoseconds), at);
            }
            if let Some(memory) = group.usage.memory {
                families.add(POD_MEMORY, &of_pod, memory.working_set_bytes as f64, at);
                families.add(POD_SWAP, &of_pod, memory.swap_bytes as f64, at);
            }
        }
        for (status, started_at) in running(picture) {
            let Some(group) = reading.runtime.containers.get(&status.id) else { continue };
            let labels = [("container", status.name.as_str()), of_pod[0], of_pod[1]];
            families.add(CONTAINER_START, &labels, started_at.as_millisecond() as f64 / 1e3, None);
            if let Some(cpu) = group.usage.cpu {
                families.add(CONTAINER_CPU, &labels, seconds(cpu.nanoseconds), at);
            }
            if let Some(memory) = group.usage.memory {
                families.add(CONTAINER_MEMORY, &labels, memory.working_set_bytes as f64, at);
                families.add(CONTAINER_SWAP, &labels, memory.swap_bytes as f64, at);
            }
        }
    }
    families.add(ERROR, &[], 0.0, None);
    families.0.sort_by(|one, other| one.name().cmp(other.name()));
    families.0
}
