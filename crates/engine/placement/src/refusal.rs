//! Why a pod does not fit, in upstream's words.

use std::collections::BTreeMap;
use std::fmt;

/// Why one node is no place for a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Unschedulable,
    NodeName,
    Taint { key: String, value: String },
    Affinity,
    Ports,
    TooManyPods,
    Insufficient(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable => f.write_str("node(s) were unschedulable"),
            Self::NodeName => f.write_str("node(s) didn't match the requested node name"),
            Self::Taint { key, value } => write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Self::Affinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Self::Ports => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Self::TooManyPods => f.write_str("Too many pods"),
            Self::Insufficient(resource) => write!(f, "Insufficient {resource}"),
        }
    }
}

/// Why no node is a place for a pod: `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable {
    nodes: usize,
    reasons: BTreeMap<Refusal, usize>,
}

impl Unschedulable {
    pub(crate) fn count<'a>(refusals: impl Iterator<Item = &'a [Refusal]>) -> Self {
        let mut counted = Self { nodes: 0, reasons: BTreeMap::new() };
        for of_node in refusals {
            counted.nodes += 1;
            for refusal in of_node {
                match counted.reasons.get_mut(refusal) {
                    Some(count) => *count += 1,
                    None => drop(counted.reasons.insert(refusal.clone(), 1)),
                }
            }
        }
        counted
    }
}

impl std::error::Error for Unschedulable {}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let mut reasons: Vec<String> =
            self.reasons.iter().map(|(refusal, count)| format!("{count} {refusal}")).collect();
        reasons.sort_unstable();
        write!(f, "0/{} nodes are available: {}.", self.nodes, reasons.join(", "))
    }
}
