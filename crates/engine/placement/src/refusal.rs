//! Why a pod does not fit, in upstream's words.

use std::collections::BTreeMap;
use std::fmt;

use crate::profile::Plugin;

/// Why one node is no place for a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Refusal {
    Unschedulable,
    NodeName,
    Taint {
        key: String,
        value: String,
    },
    Affinity,
    EnforcedAffinity,
    /// The pod names another node.
    NotNamed,
    Ports,
    TooManyPods,
    Insufficient(String),
    /// A claim that cannot be used anywhere, in words.
    Claims(String),
    DiskInUse,
    ClaimInUse,
    TooManyVolumes,
    NoVolume,
    VolumeElsewhere,
    VolumeMissing,
    VolumeZone,
    SpreadWithoutLabel,
    Spread,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
    /// In an extender's words.
    Extender(String),
    /// Preemption would change nothing here.
    PreemptionIsOfNoHelp,
    /// There is nobody of lower priority here.
    NoVictims,
}

impl Refusal {
    /// Whether it stays whoever leaves the node.
    fn is_final(&self) -> bool {
        match self {
            Self::Ports
            | Self::TooManyPods
            | Self::Insufficient(_)
            | Self::DiskInUse
            | Self::ClaimInUse
            | Self::Extender(_)
            | Self::Spread
            | Self::PodAntiAffinity
            | Self::ExistingAntiAffinity => false,
            Self::Unschedulable
            | Self::NodeName
            | Self::Taint { .. }
            | Self::Affinity
            | Self::EnforcedAffinity
            | Self::NotNamed
            | Self::Claims(_)
            | Self::TooManyVolumes
            | Self::NoVolume
            | Self::VolumeElsewhere
            | Self::VolumeMissing
            | Self::VolumeZone
            | Self::SpreadWithoutLabel
            | Self::PodAffinity
            | Self::PreemptionIsOfNoHelp
            | Self::NoVictims => true,
        }
    }

    fn plugin(&self) -> Option<Plugin> {
        match self {
            Self::Unschedulable => Some(Plugin::NodeUnschedulable),
            Self::NodeName => Some(Plugin::NodeName),
            Self::Taint { .. } => Some(Plugin::TaintToleration),
            Self::Affinity | Self::EnforcedAffinity | Self::NotNamed => Some(Plugin::NodeAffinity),
            Self::Ports => Some(Plugin::NodePorts),
            Self::TooManyPods | Self::Insufficient(_) => Some(Plugin::NodeResourcesFit),
            Self::DiskInUse | Self::ClaimInUse => Some(Plugin::VolumeRestrictions),
            Self::TooManyVolumes => Some(Plugin::NodeVolumeLimits),
            Self::Claims(_) | Self::NoVolume | Self::VolumeElsewhere | Self::VolumeMissing => {
                Some(Plugin::VolumeBinding)
            }
            Self::VolumeZone => Some(Plugin::VolumeZone),
            Self::SpreadWithoutLabel | Self::Spread => Some(Plugin::PodTopologySpread),
            Self::PodAffinity | Self::PodAntiAffinity | Self::ExistingAntiAffinity => Some(Plugin::InterPodAffinity),
            Self::Extender(_) | Self::PreemptionIsOfNoHelp | Self::NoVictims => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taint { key, value } => return write!(f, "node(s) had untolerated taint {{{key}: {value}}}"),
            Self::Insufficient(resource) => return write!(f, "Insufficient {resource}"),
            Self::Claims(message) | Self::Extender(message) => message,
            Self::DiskInUse => "node(s) had no available disk",
            Self::ClaimInUse => {
                "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            }
            Self::TooManyVolumes => "node(s) exceed max volume count",
            Self::NoVolume => "node(s) didn't find available persistent volumes to bind",
            Self::VolumeElsewhere => "node(s) had volume node affinity conflict",
            Self::VolumeMissing => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            Self::VolumeZone => "node(s) had no available volume zone",
            Self::Unschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Affinity => "node(s) didn't match Pod's node affinity/selector",
            Self::EnforcedAffinity => "node(s) didn't match scheduler-enforced node affinity",
            Self::NotNamed => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::SpreadWithoutLabel => "node(s) didn't match pod topology spread constraints (missing required label)",
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::PreemptionIsOfNoHelp => "Preemption is not helpful for scheduling",
            Self::NoVictims => "No preemption victims found for incoming pod",
        })
    }
}

/// All that one node says against a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusals {
    pub(crate) reasons: Vec<Refusal>,
    /// Whether they stay whoever leaves the node: preemption does not help.
    pub(crate) is_final: bool,
}

impl From<Refusal> for Refusals {
    fn from(reason: Refusal) -> Self {
        Self { is_final: reason.is_final(), reasons: vec![reason] }
    }
}

/// Why no node is a place for a pod: `0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unschedulable {
    nodes: usize,
    reasons: BTreeMap<Refusal, usize>,
    /// What speaks against all nodes alike, known before any was looked at.
    everywhere: Option<Refusal>,
    /// What came of looking for pods that could give way.
    preemption: Option<String>,
}

impl Unschedulable {
    /// What `nodes` of the nodes say.
    pub(crate) fn count(&mut self, refusals: &Refusals, nodes: usize) {
        for reason in &refusals.reasons {
            match self.reasons.get_mut(reason) {
                Some(count) => *count += nodes,
                None => drop(self.reasons.insert(reason.clone(), nodes)),
            }
        }
    }

    /// Extenders refuse `nodes` nodes; reasons with the number of nodes that they were told of.
    #[must_use]
    pub fn by_extenders(nodes: usize, reasons: BTreeMap<String, usize>) -> Self {
        let reasons = reasons.into_iter().map(|(reason, nodes)| (Refusal::Extender(reason), nodes));
        Self { nodes, reasons: reasons.collect(), ..Self::default() }
    }

    /// Whether an extender had a say in it.
    #[must_use]
    pub fn is_by_extenders(&self) -> bool {
        self.reasons.keys().any(|reason| matches!(reason, Refusal::Extender(_)))
    }

    /// None of `nodes` was looked at.
    pub(crate) fn everywhere(reason: Refusal, nodes: usize) -> Self {
        Self { nodes, everywhere: Some(reason), ..Self::default() }
    }

    /// There are `nodes` more.
    pub(crate) fn add_nodes(&mut self, nodes: usize) {
        self.nodes += nodes;
    }

    /// Adds what came of looking for pods that could give way.
    #[must_use]
    pub fn with_preemption(mut self, outcome: &impl fmt::Display) -> Self {
        self.preemption = Some(outcome.to_string());
        self
    }

    /// Whether one of the plugins had a say in it.
    #[must_use]
    pub fn is_by(&self, plugin: Plugin) -> bool {
        self.reasons.keys().chain(&self.everywhere).any(|reason| reason.plugin() == Some(plugin))
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
        reasons.extend(self.everywhere.as_ref().map(ToString::to_string));
        reasons.sort_unstable();
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if !reasons.is_empty() {
            write!(f, " {}.", reasons.join(", "))?;
        }
        match &self.preemption {
            Some(outcome) => write!(f, " preemption: {outcome}"),
            None => Ok(()),
        }
    }
}
