//! The node object: labels, capacity, conditions, images.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node as NodeObject, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Node, RETRY_MAX, RETRY_MIN};
use crate::inotify::PathWatch;
use crate::machine::architecture;

/// The status is written at least this often, changed or not.
const REPORT_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// How often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const IMAGES_MAX: usize = 50;
const NAMES_PER_IMAGE_MAX: usize = 5;
/// Free memory and disk below these shares are a pressure.
const MEMORY_FREE_MIN_BYTES: u64 = 100 << 20;
const DISK_FREE_MIN_PERCENT: u64 = 5;
const PIDS_FREE_MIN_PERCENT: u64 = 5;

impl Node {
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.config.labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", self.config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture()),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", architecture()),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// The object as it is first registered.
    pub(super) fn object(&self) -> NodeObject {
        NodeObject {
            metadata: ObjectMeta {
                name: Some(self.config.node_name.clone()),
                labels: Some(self.labels()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(self.config.taints.clone()).filter(|taints| !taints.is_empty()),
                ..NodeSpec::default()
            }),
            status: Some(self.status(&[], Timestamp::now())),
        }
    }

    pub(super) async fn update_labels(&self) -> Result<(), kube::Error> {
        let api: Api<NodeObject> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"metadata": {"labels": self.labels()}}));
        api.patch(&self.config.node_name, &PatchParams::default(), &patch).await.map(drop)
    }

    /// The status now; conditions keep their transition time while they stay the same.
    fn status(&self, known: &[NodeCondition], now: Timestamp) -> NodeStatus {
        let capacity: BTreeMap<String, ApiQuantity> = self
            .machine
            .capacity
            .iter()
            .map(|(name, amount)| (name.clone(), ApiQuantity(amount.to_string())))
            .collect();
        let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
        NodeStatus {
            addresses: Some(vec![
                address("InternalIP", self.config.node_ip.to_string()),
                address("Hostname", self.config.node_name.clone()),
            ]),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(self.conditions(known, now)),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(self.port) }),
            }),
            images: Some(self.image_list()),
            node_info: Some(self.machine.info.clone()),
            ..NodeStatus::default()
        }
    }

    fn conditions(&self, known: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
        let ready = self.open_network().is_some();
        let pressure = |kind, pressed: bool, bad: &'static str, good: &'static str, words: [&'static str; 2]| {
            (kind, pressed, if pressed { bad } else { good }, words[usize::from(pressed)])
        };
        let all = [
            (
                "NetworkUnavailable",
                !ready,
                if ready { "NetworkReady" } else { "NetworkNotReady" },
                if ready { "pod network is open" } else { "waiting for the node's pod range" },
            ),
            pressure(
                "MemoryPressure",
                memory_is_short(),
                "KubeletHasInsufficientMemory",
                "KubeletHasSufficientMemory",
                ["kubelet has sufficient memory available", "kubelet has insufficient memory available"],
            ),
            pressure(
                "DiskPressure",
                disk_is_short(&self.config.data_dir),
                "KubeletHasDiskPressure",
                "KubeletHasNoDiskPressure",
                ["kubelet has no disk pressure", "kubelet has disk pressure"],
            ),
            pressure(
                "PIDPressure",
                pids_are_short(),
                "KubeletHasInsufficientPID",
                "KubeletHasSufficientPID",
                ["kubelet has sufficient PID available", "kubelet has insufficient PID available"],
            ),
            (
                "Ready",
                ready,
                if ready { "KubeletReady" } else { "KubeletNotReady" },
                if ready { "kubelet is posting ready status" } else { "the pod network is not open yet" },
            ),
        ];
        all.into_iter()
            .map(|(kind, holds, reason, message)| {
                let status = if holds { "True" } else { "False" };
                let old = known.iter().find(|condition| condition.type_ == kind && condition.status == status);
                NodeCondition {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message.to_owned()),
                    last_heartbeat_time: Some(Time(now)),
                    last_transition_time: old.and_then(|old| old.last_transition_time.clone()).or(Some(Time(now))),
                }
            })
            .collect()
    }

    fn image_list(&self) -> Vec<ContainerImage> {
        let mut images = match self.images.list() {
            Ok(images) => images,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to list images");
                return Vec::new();
            }
        };
        images.sort_by_key(|image| std::cmp::Reverse(image.size_bytes));
        images
            .into_iter()
            .filter(|image| !image.names.is_empty())
            .take(IMAGES_MAX)
            .map(|image| ContainerImage {
                names: Some(image.names.into_iter().take(NAMES_PER_IMAGE_MAX).collect()),
                size_bytes: i64::try_from(image.size_bytes).ok(),
            })
            .collect()
    }

    /// Writes the status when it changes, and every few minutes.
    pub(super) async fn keep_status(self: &std::sync::Arc<Self>) {
        let images = PathWatch::new(&self.config.data_dir.join("node/images"));
        let mut written: Option<(NodeStatus, Timestamp)> = None;
        let mut delay = RETRY_MIN;
        let mut greeted = false;
        loop {
            let now = Timestamp::now();
            let known = match &written {
                Some((status, _)) => status.conditions.clone().unwrap_or_default(),
                None => self.known_conditions().await,
            };
            let node = std::sync::Arc::clone(self);
            let Ok(status) = tokio::task::spawn_blocking(move || node.status(&known, now)).await else { return };
            let due = written.as_ref().is_none_or(|(old, at)| {
                now.duration_since(*at) >= REPORT_EVERY || without_heartbeats(old) != without_heartbeats(&status)
            });
            let wait = if due {
                match self.write_status(&status).await {
                    Ok(()) => {
                        delay = RETRY_MIN;
                        written = Some((status, now));
                        LOOK_EVERY
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "failed to write the node's status");
                        delay = (delay * 2).min(RETRY_MAX);
                        delay
                    }
                }
            } else {
                LOOK_EVERY
            };
            if !greeted && written.is_some() {
                greeted = true;
                self.event("Starting", "Starting kubelet.");
                self.event("NodeReady", format!("Node {} status is now: NodeReady", self.config.node_name));
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed(&images) => {}
            }
        }
    }

    async fn known_conditions(&self) -> Vec<NodeCondition> {
        let api: Api<NodeObject> = Api::all(self.client.clone());
        let node = api.get_opt(&self.config.node_name).await.ok().flatten();
        node.and_then(|node| node.status?.conditions).unwrap_or_default()
    }

    async fn write_status(&self, status: &NodeStatus) -> Result<(), kube::Error> {
        let api: Api<NodeObject> = Api::all(self.client.clone());
        let patch = Patch::Strategic(json!({"status": status}));
        match api.patch_status(&self.config.node_name, &PatchParams::default(), &patch).await {
            // Somebody deleted the node: it comes back.
            Err(kube::Error::Api(error)) if error.code == 404 => {
                api.create(&kube::api::PostParams::default(), &self.object()).await.map(drop)
            }
            result => result.map(drop),
        }
    }
}

async fn changed(watch: &std::io::Result<PathWatch>) {
    match watch {
        Ok(watch) if watch.changed().await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

fn without_heartbeats(status: &NodeStatus) -> NodeStatus {
    let mut status = status.clone();
    for condition in status.conditions.iter_mut().flatten() {
        condition.last_heartbeat_time = None;
    }
    status
}

fn memory_is_short() -> bool {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.is_some_and(|kibibytes| kibibytes * 1024 < MEMORY_FREE_MIN_BYTES)
}

fn disk_is_short(path: &std::path::Path) -> bool {
    nix::sys::statvfs::statvfs(path)
        .is_ok_and(|stat| stat.blocks_available() * 100 < stat.blocks() * DISK_FREE_MIN_PERCENT)
}

fn pids_are_short() -> bool {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let running = || {
        let load = std::fs::read_to_string("/proc/loadavg").ok()?;
        load.split_whitespace().nth(3)?.split_once('/')?.1.parse::<u64>().ok()
    };
    match (number("/proc/sys/kernel/pid_max"), running()) {
        (Some(most), Some(now)) => most.saturating_sub(now) * 100 < most * PIDS_FREE_MIN_PERCENT,
        _ => false,
    }
}
