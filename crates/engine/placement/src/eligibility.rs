//! Which nodes a DaemonSet's pods belong on: by name, labels and taints, whatever else is there.

use k8s_openapi::api::core::v1::{Node, PodSpec};

use crate::affinity::NodeAffinity;
use crate::taint::{Taint, Toleration};

/// What a node is to a pod of a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eligibility {
    /// There should be a pod.
    pub should_run: bool,
    /// A pod that is there may stay.
    pub may_stay: bool,
}

/// A DaemonSet's pod template, read once for many nodes.
pub struct Requirements {
    node_name: Option<String>,
    affinity: NodeAffinity,
    tolerations: Vec<Toleration>,
}

impl Requirements {
    /// What pods of `spec` require of a node.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Self {
        Self {
            node_name: spec.node_name.clone().filter(|name| !name.is_empty()),
            affinity: NodeAffinity::read(spec),
            tolerations: spec.tolerations.iter().flatten().map(Toleration::read).collect(),
        }
    }

    /// What `node` is to such pods.
    #[must_use]
    pub fn eligibility(&self, node: &Node) -> Eligibility {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let none = std::collections::BTreeMap::new();
        let labels = node.metadata.labels.as_ref().unwrap_or(&none);
        if self.node_name.as_deref().is_some_and(|wanted| wanted != name) || !self.affinity.admits(name, labels) {
            return Eligibility { should_run: false, may_stay: false };
        }
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).map(Taint::read);
        let (mut should_run, mut may_stay) = (true, true);
        for taint in taints.filter(|taint| !self.tolerations.iter().any(|one| one.tolerates(taint))) {
            should_run &= !taint.is_hard();
            may_stay &= taint.effect != "NoExecute";
        }
        Eligibility { should_run, may_stay }
    }
}
