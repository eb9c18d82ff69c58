//! Node lifecycle: whether a node is heard of, what its taints say, and when its pods must go.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Taints that tell of a condition, and of `spec.unschedulable`: each is set while the condition has that status.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// When a node was heard of last, by this process' own clock: clocks of nodes may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    lease: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
    at: Timestamp,
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// `Ready`'s status; Unknown where the node has never said.
#[must_use]
pub fn ready_status(node: &Node) -> &str {
    condition(node, "Ready").map_or("Unknown", |ready| ready.status.as_str())
}

/// Notes a look at a node and its Lease: a renewed Lease or a new heartbeat is a sign of life, and so is the first look.
#[must_use]
pub fn hear(before: Option<Heard>, node: &Node, lease_renewed: Option<Timestamp>, now: Timestamp) -> Heard {
    let heartbeat = condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.as_ref());
    let heartbeat = heartbeat.map(|Time(time)| *time);
    let at = match before {
        Some(before) if before.lease == lease_renewed && before.heartbeat == heartbeat => before.at,
        _ => now,
    };
    Heard { lease: lease_renewed, heartbeat, at }
}

impl Heard {
    /// How long the node may still be silent; zero if it has been for too long.
    #[must_use]
    pub fn patience_left(&self, grace: Duration, now: Timestamp) -> Duration {
        grace.saturating_sub(crate::pod::elapsed(self.at, now))
    }
}

/// The conditions of a node that has been silent for too long; none if they say so already.
#[must_use]
pub fn silenced(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let before = conditions.clone();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    (conditions != before).then_some(conditions)
}

/// The taints that the node's conditions ask for, beside those of others; none if it has them already.
#[must_use]
pub fn taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in CONDITION_TAINTS {
        if condition(node, kind).is_some_and(|condition| condition.status == status) {
            wanted.push((key, NO_SCHEDULE));
            if kind == "Ready" {
                wanted.push((key, NO_EXECUTE));
            }
        }
    }
    if condition(node, "Ready").is_none() {
        wanted.push((NOT_READY, NO_SCHEDULE)); // registered, but has not said anything yet
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    let is_ours = |taint: &Taint| {
        let known = CONDITION_TAINTS.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        known && (taint.effect == NO_SCHEDULE || matches!(taint.key.as_str(), NOT_READY | UNREACHABLE))
    };
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !is_ours(taint) || wanted.contains(&(&taint.key, &taint.effect)))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: (effect == NO_EXECUTE).then_some(Time(now)),
                value: None,
            });
        }
    }
    (taints != current).then_some(taints)
}

/// The node's taints that drive pods away.
#[must_use]
pub fn evicting_taints(node: &Node) -> Vec<&Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().filter(|taint| taint.effect == NO_EXECUTE).collect()
}

/// Whether and when a pod must leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// It may stay.
    Never,
    /// It must go after this time.
    After(Duration),
    /// It must go.
    Now,
}

/// What the `NoExecute` taints of its node mean for a pod: one that it does not tolerate drives it away at once; of
/// those that it tolerates for a time, the first to end counts, from when the taint was added.
#[must_use]
pub fn eviction(pod: &Pod, taints: &[&Taint], now: Timestamp) -> Eviction {
    if pod.metadata.deletion_timestamp.is_some() {
        return Eviction::Never; // it goes already
    }
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut first: Option<Timestamp> = None;
    for taint in taints {
        let mut matching = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if matching.peek().is_none() {
            return Eviction::Now;
        }
        // As upstream: of several matching tolerations with a time, the shortest counts.
        if let Some(seconds) = matching.filter_map(|toleration| toleration.toleration_seconds).min() {
            let since = taint.time_added.as_ref().map_or(now, |Time(time)| *time);
            let until = since.saturating_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX);
            first = Some(first.map_or(until, |sooner| sooner.min(until)));
        }
    }
    match first {
        None => Eviction::Never,
        Some(until) if until <= now => Eviction::Now,
        Some(until) => Eviction::After(crate::pod::elapsed(now, until)),
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let any = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    let same_key = any(&toleration.key) || toleration.key.as_ref() == Some(&taint.key);
    let same_effect = any(&toleration.effect) || toleration.effect.as_ref() == Some(&taint.effect);
    let same_value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => {
            !any(&toleration.key)
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        Some(_) => false,
    };
    same_key && same_effect && same_value
}

#[cfg(test)]
mod tests;
