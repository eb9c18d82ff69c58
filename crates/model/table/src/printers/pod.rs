//! Pods: the status column tells in a word what a pod is up to.

use jiff::Timestamp;
use serde_json::Value;

use crate::age::{human_duration, timestamp};
use crate::cells::{
    NONE, age, at, condition, condition_is_true, containers, flag, integer, is_deleted, items, labels, name, or, text,
};
use crate::column::{AGE, Column, NAME, Printer};

pub(super) const POD: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        Column::string("Status", "The aggregate status of the containers in this pod."),
        Column::string(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        AGE,
        Column::string("IP", "IP address allocated to the pod, if there is one.").wide(),
        Column::string("Node", "The node that the pod is assigned to, if it is.").wide(),
        Column::string("Nominated Node", "The node where room is being made for the pod, if there is one.").wide(),
        Column::string("Readiness Gates", "How many of the conditions that count for readiness are true.").wide(),
    ],
    cells: pod,
};

pub(super) const POD_TEMPLATE: Printer = Printer {
    columns: &[
        NAME,
        Column::string("Containers", "Names of each container in the template."),
        Column::string("Images", "Images referenced by each container in the template."),
        Column::string("Pod Labels", "The labels for the pod template."),
    ],
    cells: |object, _| {
        let [names, images] = containers(at(object, "template.spec"));
        vec![name(object), names, images, labels(at(object, "template.metadata.labels")).into()]
    },
};

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let Summary { reason, ready, total, restarts } = summary(pod);
    let restarts = match restarts {
        Restarts { count, last: Some(last) } if count != 0 => {
            format!("{count} ({} ago)", human_duration(now.duration_since(last)))
        }
        Restarts { count, .. } => count.to_string(),
    };
    let address = items(pod, "status.podIPs").first().map_or(text(pod, "status.podIP"), |ip| text(ip, "ip"));
    let gates = items(pod, "spec.readinessGates");
    let open = gates.iter().filter(|gate| condition_is_true(pod, text(gate, "conditionType"))).count();
    let gates = if gates.is_empty() { NONE.to_owned() } else { format!("{open}/{}", gates.len()) };
    vec![
        name(pod),
        format!("{ready}/{total}").into(),
        reason.into(),
        restarts.into(),
        age(pod, now),
        or(address, NONE).into(),
        or(text(pod, "spec.nodeName"), NONE).into(),
        or(text(pod, "status.nominatedNodeName"), NONE).into(),
        gates.into(),
    ]
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += integer(status, "restartCount");
        self.last = self.last.max(timestamp(at(status, "lastState.terminated.finishedAt")));
    }
}

fn summary(pod: &Value) -> Summary {
    let phase = text(pod, "status.phase");
    let sidecars: Vec<&str> = items(pod, "spec.initContainers")
        .iter()
        .filter(|container| text(container, "restartPolicy") == "Always")
        .map(|container| text(container, "name"))
        .collect();
    let total = items(pod, "spec.containers").len() + sidecars.len();

    let mut reason = or(text(pod, "status.reason"), phase).to_owned();
    if condition(pod, "PodScheduled").is_some_and(|condition| text(condition, "reason") == "SchedulingGated") {
        reason = "SchedulingGated".to_owned();
    }

    let mut ready = 0;
    let (mut restarts, mut sidecar_restarts) = (Restarts::default(), Restarts::default());
    let mut initializing = false;
    for (index, status) in items(pod, "status.initContainerStatuses").iter().enumerate() {
        restarts.add(status);
        let is_sidecar = sidecars.contains(&text(status, "name"));
        if is_sidecar {
            sidecar_restarts.add(status);
        }
        let waiting = text(status, "state.waiting.reason");
        if let Some(terminated) = status.pointer("/state/terminated") {
            if integer(terminated, "exitCode") == 0 {
                continue;
            }
            reason = format!("Init:{}", termination(terminated));
        } else if is_sidecar && flag(status, "started") {
            ready += usize::from(flag(status, "ready"));
            continue;
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            reason = format!("Init:{waiting}");
        } else {
            reason = format!("Init:{index}/{}", items(pod, "spec.initContainers").len());
        }
        initializing = true;
        break;
    }

    if !initializing || condition_is_true(pod, "Initialized") {
        restarts = sidecar_restarts;
        let mut one_runs = false;
        for status in items(pod, "status.containerStatuses").iter().rev() {
            restarts.add(status);
            let waiting = text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut reason);
            } else if let Some(terminated) = status.pointer("/state/terminated") {
                reason = termination(terminated);
            } else if flag(status, "ready") && !at(status, "state.running").is_null() {
                one_runs = true;
                ready += 1;
            }
        }
        if reason == "Completed" && one_runs {
            let is_ready = condition_is_true(pod, "Ready");
            (if is_ready { "Running" } else { "NotReady" }).clone_into(&mut reason);
        }
    }

    if is_deleted(pod) && text(pod, "status.reason") == "NodeLost" {
        "Unknown".clone_into(&mut reason);
    } else if is_deleted(pod) && !matches!(phase, "Succeeded" | "Failed") {
        "Terminating".clone_into(&mut reason);
    }
    Summary { reason, ready, total, restarts }
}

fn termination(terminated: &Value) -> String {
    match (text(terminated, "reason"), integer(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", integer(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
