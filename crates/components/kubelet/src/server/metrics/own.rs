//! `/metrics`: the kubelet itself.

use minato_runtime::ContainerState;
use prometheus::proto::MetricFamily;

use super::{Families, Kind};
use crate::node::Node;
use crate::worker::Picture;

const BUILD: Kind =
    Kind::gauge("kubernetes_build_info", "[BETA] A metric with a constant '1' value labeled by version.");
const NAME: Kind = Kind::gauge("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.");
const CONTAINERS: Kind = Kind::gauge("kubelet_running_containers", "[ALPHA] Number of containers currently running");
const PODS: Kind = Kind::gauge("kubelet_running_pods", "[ALPHA] Number of pods that have a running pod sandbox");
const DESIRED: Kind =
    Kind::gauge("kubelet_desired_pods", "[ALPHA] The number of pods the kubelet is being instructed to run.");
const STARTED: Kind =
    Kind::gauge("process_start_time_seconds", "[STABLE] Start time of the process since unix epoch in seconds.");

pub(super) fn families(pods: &[Picture], node: &Node) -> Vec<MetricFamily> {
    let mut families = Families::default();
    let version = &node.machine.info.kubelet_version;
    let platform = format!("linux/{}", node.machine.info.architecture);
    let build = [("git_version", version.as_str()), ("major", "1"), ("minor", "36"), ("platform", platform.as_str())];
    families.add(BUILD, &build, 1.0, None);
    families.add(NAME, &[("node", node.config.node_name.as_str())], 1.0, None);
    let mut states = [("created", 0), ("exited", 0), ("running", 0)];
    for status in pods.iter().flat_map(|picture| &picture.containers) {
        let index = match status.state {
            ContainerState::Created => 0,
            ContainerState::Exited { .. } => 1,
            ContainerState::Running { .. } => 2,
        };
        states[index].1 += 1;
    }
    for (state, count) in states {
        families.add(CONTAINERS, &[("container_state", state)], f64::from(count), None);
    }
    let running = pods.iter().filter(|picture| {
        picture.containers.iter().any(|status| matches!(status.state, ContainerState::Running { .. }))
    });
    families.add(PODS, &[], running.count() as f64, None);
    families.add(DESIRED, &[("static", "")], pods.len() as f64, None);
    families.add(STARTED, &[], node.started_at.as_millisecond() as f64 / 1e3, None);
    families.0
}
