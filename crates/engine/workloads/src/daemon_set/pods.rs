//! The pods of a DaemonSet: bound to their node by affinity, patient with its troubles.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration};

use super::labels_of;
use crate::ownership::controller_reference;
use crate::replica_set::pod_from_template;

const NODE_NAME: &str = "metadata.name";

/// Taints that never keep a daemon away, with the effect that is tolerated.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The template's spec with the tolerations that all daemons have.
pub(super) fn template_spec(set: &DaemonSet) -> PodSpec {
    let mut spec = set.spec.as_ref().and_then(|spec| spec.template.spec.clone()).unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST_NETWORK);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(on_host) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    spec
}

/// A new pod of the set's present revision for that node.
#[must_use]
pub fn pod_for(set: &DaemonSet, node: &str, hash: &str) -> Pod {
    let owner = controller_reference("apps/v1", "DaemonSet", &set.metadata);
    let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pod_from_template(&template, set.metadata.namespace.as_deref().unwrap_or_default(), owner);
    pod.metadata.labels.get_or_insert_default().extend(labels_of(hash));
    let mut spec = template_spec(set);
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    // Where the template says which nodes, the set has looked at it already.
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: None,
            match_fields: Some(vec![NodeSelectorRequirement {
                key: NODE_NAME.to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![node.to_owned()]),
            }]),
        }],
    });
    pod.spec = Some(spec);
    pod
}

/// The node that a pod is on, or was made for.
pub(super) fn node_of(pod: &Pod) -> &str {
    let Some(spec) = &pod.spec else { return "" };
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
        return name;
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|selector| selector.node_selector_terms.as_slice()).unwrap_or_default();
    let fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let named = fields.filter(|field| field.key == NODE_NAME && field.operator == "In");
    named.filter_map(|field| field.values.as_ref()?.first()).next().map_or("", String::as_str)
}
