//! What a node checks itself before it takes a pod in: one that was bound past the scheduler has to fit as well.
//!
//! Checks, order and words are those of upstream's kubelet (`pkg/kubelet/lifecycle/predicate.go`).

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::demand::Local;
use crate::node::{Load, Offer, tolerates};
use crate::profile::Plugin;
use crate::refusal::Refusal;

/// Why a node does not take a pod in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// `OutOfcpu`, `NodePorts`, …
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl Rejection {
    fn by(plugin: Plugin, why: &str) -> Self {
        let name = plugin.name();
        Self { reason: name.to_owned(), message: format!("Predicate {name} failed: {why}") }
    }

    fn lack(resource: &str, requested: i64, used: i64, capacity: i64) -> Self {
        Self {
            reason: format!("OutOf{resource}"),
            message: format!(
                "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
            ),
        }
    }
}

/// Whether `node`, with `others` on it, takes `pod` in.
///
/// # Errors
/// The first check that fails.
pub fn admit<'a>(node: &Node, pod: &Pod, others: impl IntoIterator<Item = &'a Pod>) -> Result<(), Rejection> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let (name, offer, demand) =
        (node.metadata.name.as_deref().unwrap_or_default(), Offer::read(node), Local::read(spec));
    let mut load = Load::default();
    others.into_iter().filter_map(|other| other.spec.as_ref()).for_each(|spec| load.add(&Local::read(spec)));
    if load.pods + 1 > offer.pods_max {
        return Err(Rejection::lack("pods", 1, load.pods, offer.pods_max));
    }
    // What the node does not have at all, others look after: it was there when the pod was bound.
    let unknown = |name: &str| !offer.allocatable.others.contains_key(name);
    if let Some(lack) = demand.requests.lacking(&offer.allocatable, &load.requested, unknown).first() {
        return Err(Rejection::lack(&lack.resource, lack.requested, lack.used, lack.capacity));
    }
    if !demand.affinity.admits(name, &offer.labels) {
        return Err(Rejection::by(Plugin::NodeAffinity, &Refusal::Affinity.to_string()));
    }
    if demand.ports.iter().any(|port| load.ports.keys().any(|taken| taken.conflicts(port))) {
        return Err(Rejection::by(Plugin::NodePorts, &Refusal::Ports.to_string()));
    }
    let untolerated = |effect| move |taint: &&crate::taint::Taint| taint.effect == effect;
    let mut taints = offer.taints.iter().filter(untolerated("NoExecute"));
    if taints.any(|taint| !tolerates(&demand.tolerations, taint)) {
        return Err(Rejection::by(Plugin::TaintToleration, "node(s) had taints that the pod didn't tolerate"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node() -> Node {
        let node = json!({
            "metadata": {"name": "n", "labels": {"disk": "ssd"}},
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "value": "c", "effect": "NoExecute"}]},
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "3", "x.io/thing": "1"}},
        });
        serde_json::from_value(node).unwrap()
    }

    fn pod(spec: Value) -> Pod {
        let mut whole = json!({
            "tolerations": [{"key": "b", "operator": "Exists"}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "400m"}}}],
        });
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": whole})).unwrap()
    }

    fn asking(resource: &str, amount: &str) -> Value {
        json!({"containers": [{"name": "c", "resources": {"requests": {resource: amount}}}]})
    }

    fn on_port(port: u16) -> Value {
        json!({"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": port, "protocol": "TCP"}]}]})
    }

    #[test]
    fn the_first_check_that_fails_is_told() {
        let cases = [
            (json!({}), None),
            (asking("x.io/gone", "5"), None),
            (on_port(81), None),
            (
                asking("cpu", "700m"),
                Some(("OutOfcpu", "Node didn't have enough resource: cpu, requested: 700, used: 400, capacity: 1000")),
            ),
            (
                asking("x.io/thing", "2"),
                Some((
                    "OutOfx.io/thing",
                    "Node didn't have enough resource: x.io/thing, requested: 2, used: 0, capacity: 1",
                )),
            ),
            (
                json!({"nodeSelector": {"disk": "hdd"}}),
                Some((
                    "NodeAffinity",
                    "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
                )),
            ),
            (
                on_port(80),
                Some((
                    "NodePorts",
                    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                )),
            ),
            (
                json!({"tolerations": []}),
                Some((
                    "TaintToleration",
                    "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
                )),
            ),
        ];
        let others = [pod(json!({})), pod(on_port(80))];
        for (spec, expected) in cases {
            let outcome = admit(&node(), &pod(spec.clone()), &others);
            let told = outcome.as_ref().err().map(|rejection| (&*rejection.reason, &*rejection.message));
            assert_eq!(told, expected, "{spec}");
        }
        let full = [pod(json!({})), pod(asking("cpu", "0")), pod(asking("cpu", "0"))];
        let outcome = admit(&node(), &pod(asking("cpu", "0")), &full).unwrap_err();
        assert_eq!(outcome.reason, "OutOfpods");
    }
}
