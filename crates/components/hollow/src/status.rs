//! What simulated nodes and pods say of themselves. Plain functions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::config::Config;

const VERSION: &str = "v1.36.0";
/// Whose statuses these are: told by whoever looks closely.
pub(crate) const LABEL: &str = "minato.dev/simulated";

/// The conditions of a node; `since` is when they came to hold.
pub(crate) fn conditions(now: Timestamp, since: Timestamp) -> Value {
    let all = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("NetworkUnavailable", "False", "NetworkReady", "pod network is simulated"),
        ("Ready", "True", "KubeletReady", "kubelet is simulated"),
    ];
    let conditions = all.map(|(kind, status, reason, message)| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": Time(now), "lastTransitionTime": Time(since)})
    });
    conditions.to_vec().into()
}

/// A node by its number, as it registers.
pub(crate) fn node(config: &Config, number: usize, now: Timestamp) -> Result<Node, serde_json::Error> {
    let name = config.node_name(number);
    let mut labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "simulated", LABEL: "true",
    });
    if config.zones > 0 {
        labels["topology.kubernetes.io/region"] = "simulated".into();
        labels["topology.kubernetes.io/zone"] = format!("zone-{}", (number - 1) % config.zones + 1).into();
    }
    let capacity = json!({
        "cpu": config.cpu, "memory": config.memory, "pods": config.max_pods.to_string(),
        "ephemeral-storage": "100Gi", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
    });
    let id = format!("{number:032x}");
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": capacity, "allocatable": capacity, "conditions": conditions(now, now),
            "addresses": [{"type": "InternalIP", "address": address(number)}, {"type": "Hostname", "address": name}],
            // Port 0: nobody listens, and nobody needs to try.
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "architecture": "amd64", "bootID": id, "machineID": id, "systemUUID": id, "operatingSystem": "linux",
                "kernelVersion": "6.1.0", "osImage": "simulated", "kubeletVersion": VERSION, "kubeProxyVersion": "",
                "containerRuntimeVersion": "simulated://1",
            },
        },
    }))
}

/// An address of the range for shared use (RFC 6598), which no machine of the cluster has.
fn address(number: usize) -> String {
    format!("100.{}.{}.{}", 64 + (number >> 16 & 63), number >> 8 & 255, number & 255)
}

/// How a pod's life goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// All its containers run.
    Running,
    /// All have ended well.
    Succeeded,
}

/// The status of a pod that began its present life at `since`.
pub(crate) fn pod(pod: &Pod, life: Life, ip: &str, host: usize, since: Timestamp) -> Value {
    let (truth, reason) = match life {
        Life::Running => ("True", None),
        Life::Succeeded => ("False", Some("PodCompleted")),
    };
    let condition = |kind: &str, status: &str, reason: Option<&str>| {
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": Time(since)});
        if let Some(reason) = reason {
            condition["reason"] = reason.into();
        }
        condition
    };
    let spec = pod.spec.as_ref();
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let container = |container: &Container, ended: bool| {
        let image = container.image.clone().unwrap_or_default();
        let id = format!("simulated://{uid}/{}", container.name);
        let state = if ended {
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": Time(since), "finishedAt": Time(since),
                "containerID": id}})
        } else {
            json!({"running": {"startedAt": Time(since)}})
        };
        json!({"name": container.name, "image": image, "imageID": format!("simulated/{image}"), "containerID": id,
            "ready": !ended, "started": !ended, "restartCount": 0, "state": state})
    };
    let ended = life == Life::Succeeded;
    let containers = spec.map(|spec| spec.containers.iter().map(|one| container(one, ended)).collect::<Vec<_>>());
    let before: Vec<Value> = spec
        .and_then(|spec| spec.init_containers.as_ref())
        .into_iter()
        .flatten()
        .map(|one| container(one, ended || one.restart_policy.as_deref() != Some("Always")))
        .collect();
    let started = pod.status.as_ref().and_then(|status| status.start_time.clone()).unwrap_or(Time(since));
    let mut status = json!({
        "phase": if ended { "Succeeded" } else { "Running" },
        "conditions": [
            condition("PodReadyToStartContainers", truth, None), condition("Initialized", "True", reason),
            condition("Ready", truth, reason), condition("ContainersReady", truth, reason),
            condition("PodScheduled", "True", None),
        ],
        "hostIP": address(host), "hostIPs": [{"ip": address(host)}], "startTime": started,
        "containerStatuses": containers.unwrap_or_default(),
    });
    if !before.is_empty() {
        status["initContainerStatuses"] = before.into();
    }
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let ip = if host_network { address(host) } else { ip.to_owned() };
    if !ip.is_empty() {
        status["podIP"] = ip.clone().into();
        status["podIPs"] = json!([{"ip": ip}]);
    }
    json!({"status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_told_apart() {
        let config = Config { count: 4, zones: 3, ..Config::default() };
        let now = Timestamp::UNIX_EPOCH;
        let node = node(&config, 4, now).unwrap();
        let labels = node.metadata.labels.unwrap();
        assert_eq!(labels["topology.kubernetes.io/zone"], "zone-1");
        let status = node.status.unwrap();
        assert_eq!(status.addresses.unwrap()[0].address, "100.64.0.4");
        assert!(status.conditions.unwrap().iter().any(|one| one.type_ == "Ready" && one.status == "True"));
        assert_eq!(address(99_999), "100.65.134.159");
    }

    #[test]
    fn pods_run_and_end() {
        let object: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [{"name": "c", "image": "i"}],
                "initContainers": [{"name": "once", "image": "i"}, {"name": "sidecar", "restartPolicy": "Always"}]},
        }))
        .unwrap();
        let running = pod(&object, Life::Running, "10.42.1.2", 1, Timestamp::UNIX_EPOCH);
        let status = &running["status"];
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["podIP"], "10.42.1.2");
        assert!(status["containerStatuses"][0]["state"]["running"].is_object());
        assert!(status["initContainerStatuses"][0]["state"]["terminated"].is_object());
        assert!(status["initContainerStatuses"][1]["state"]["running"].is_object());
        let ended = pod(&object, Life::Succeeded, "10.42.1.2", 1, Timestamp::UNIX_EPOCH);
        assert_eq!(ended["status"]["phase"], "Succeeded");
        assert_eq!(ended["status"]["conditions"][2]["reason"], "PodCompleted");
    }
}
