//! How a profile weighs: which plugins filter and score, with which weights and arguments.

use k8s_openapi::api::core::v1 as core;

use crate::affinity::NodeAffinity;

/// A plugin of upstream's scheduler that filters or scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plugin {
    /// Cordoned nodes.
    NodeUnschedulable,
    /// `spec.nodeName`.
    NodeName,
    /// Taints.
    TaintToleration,
    /// Node selectors and node affinity.
    NodeAffinity,
    /// Host ports.
    NodePorts,
    /// Resources.
    NodeResourcesFit,
    /// Volumes that only one pod or node may use.
    VolumeRestrictions,
    /// How many volumes of a driver a node takes.
    NodeVolumeLimits,
    /// Claims, bound and to be bound.
    VolumeBinding,
    /// Zones of bound volumes.
    VolumeZone,
    /// Topology spread constraints.
    PodTopologySpread,
    /// Affinity and anti-affinity between pods.
    InterPodAffinity,
    /// CPU and memory in like measure.
    NodeResourcesBalancedAllocation,
    /// Images that are on the node.
    ImageLocality,
}

impl Plugin {
    /// All of them, in the order in which upstream's default profile has them.
    pub const ALL: [Self; 14] = [
        Self::NodeUnschedulable,
        Self::NodeName,
        Self::TaintToleration,
        Self::NodeAffinity,
        Self::NodePorts,
        Self::NodeResourcesFit,
        Self::VolumeRestrictions,
        Self::NodeVolumeLimits,
        Self::VolumeBinding,
        Self::VolumeZone,
        Self::PodTopologySpread,
        Self::InterPodAffinity,
        Self::NodeResourcesBalancedAllocation,
        Self::ImageLocality,
    ];

    /// Its name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeUnschedulable => "NodeUnschedulable",
            Self::NodeName => "NodeName",
            Self::TaintToleration => "TaintToleration",
            Self::NodeAffinity => "NodeAffinity",
            Self::NodePorts => "NodePorts",
            Self::NodeResourcesFit => "NodeResourcesFit",
            Self::VolumeRestrictions => "VolumeRestrictions",
            Self::NodeVolumeLimits => "NodeVolumeLimits",
            Self::VolumeBinding => "VolumeBinding",
            Self::VolumeZone => "VolumeZone",
            Self::PodTopologySpread => "PodTopologySpread",
            Self::InterPodAffinity => "InterPodAffinity",
            Self::NodeResourcesBalancedAllocation => "NodeResourcesBalancedAllocation",
            Self::ImageLocality => "ImageLocality",
        }
    }

    /// Whether it can refuse nodes.
    #[must_use]
    pub fn filters(self) -> bool {
        !matches!(self, Self::NodeResourcesBalancedAllocation | Self::ImageLocality)
    }

    /// Its weight in upstream's default profile; `None` if it does not score.
    #[must_use]
    pub fn default_weight(self) -> Option<i64> {
        match self {
            Self::TaintToleration => Some(3),
            Self::NodeAffinity | Self::PodTopologySpread | Self::InterPodAffinity => Some(2),
            Self::NodeResourcesFit | Self::NodeResourcesBalancedAllocation | Self::ImageLocality => Some(1),
            _ => None,
        }
    }
}

/// How free resources are valued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The emptier the better.
    LeastAllocated,
    /// The fuller the better.
    MostAllocated,
    /// By a function of how much is requested: points of (percent, score from 0 to 10), by rising percent.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// What one profile does.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Bits of the plugins that filter, by their place in [`Plugin::ALL`].
    filters: u32,
    /// Weights of the plugins that score, by their place in [`Plugin::ALL`]; 0 of those that do not.
    weights: [i64; Plugin::ALL.len()],
    /// How `NodeResourcesFit` scores.
    pub strategy: Strategy,
    /// What it looks at, with weights.
    pub fit_resources: Vec<(String, i64)>,
    /// Extended resources that are not looked at when filtering: names, or groups (what stands before the `/`).
    pub ignored_resources: Vec<String>,
    /// See `ignored_resources`.
    pub ignored_resource_groups: Vec<String>,
    /// What `NodeResourcesBalancedAllocation` looks at, with weights.
    pub balanced_resources: Vec<(String, i64)>,
    /// What every pod requires of nodes besides its own affinity.
    pub(crate) added_affinity: NodeAffinity,
    /// What it counts that a pod that is there requires affinity with the one that comes.
    pub hard_pod_affinity_weight: i64,
    /// Whether preferences of pods that are there are ignored if the pod that comes has none.
    pub ignore_preferred_terms_of_existing_pods: bool,
    /// Spread constraints of pods of controllers that have none of their own.
    pub default_constraints: Vec<DefaultConstraint>,
    /// Whether `default_constraints` are the system's own: nodes without the labels then count too.
    pub constraints_are_the_systems: bool,
    /// Preemption looks at this percentage of the nodes …
    pub candidate_nodes_percentage: usize,
    /// … but at least at this many.
    pub candidate_nodes_min: usize,
    /// Whether pods of low priority give way at all.
    pub preempts: bool,
}

/// A spread constraint for the pods of any controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultConstraint {
    /// The label whose values are the places.
    pub topology_key: String,
    /// How many more pods one place may have than another.
    pub max_skew: i64,
    /// `DoNotSchedule`, rather than `ScheduleAnyway`.
    pub is_hard: bool,
}

impl Default for Profile {
    fn default() -> Self {
        let cpu_and_memory = || vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)];
        let soft = |topology_key: &str, max_skew| DefaultConstraint {
            topology_key: topology_key.to_owned(),
            max_skew,
            is_hard: false,
        };
        Self {
            filters: u32::MAX,
            weights: Plugin::ALL.map(|plugin| plugin.default_weight().unwrap_or(0)),
            strategy: Strategy::LeastAllocated,
            fit_resources: cpu_and_memory(),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            balanced_resources: cpu_and_memory(),
            added_affinity: NodeAffinity::default(),
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
            default_constraints: vec![soft("kubernetes.io/hostname", 3), soft("topology.kubernetes.io/zone", 5)],
            constraints_are_the_systems: true,
            candidate_nodes_percentage: 10,
            candidate_nodes_min: 100,
            preempts: true,
        }
    }
}

impl Profile {
    /// Whether a plugin filters.
    #[must_use]
    pub fn filters(&self, plugin: Plugin) -> bool {
        self.filters & (1 << plugin as u32) != 0
    }

    /// Lets a plugin filter or not.
    pub fn set_filter(&mut self, plugin: Plugin, filters: bool) {
        let bit = 1 << plugin as u32;
        self.filters = if filters { self.filters | bit } else { self.filters & !bit };
    }

    /// A plugin's weight; 0: it does not score.
    #[must_use]
    pub fn weight(&self, plugin: Plugin) -> i64 {
        self.weights[plugin as usize]
    }

    /// Gives a plugin a weight.
    pub fn set_weight(&mut self, plugin: Plugin, weight: i64) {
        self.weights[plugin as usize] = weight;
    }

    /// Sets what every pod requires and prefers of nodes (`addedAffinity`).
    pub fn set_added_affinity(&mut self, affinity: &core::NodeAffinity) {
        self.added_affinity = NodeAffinity::of(Some(affinity), None);
    }

    /// Whether an extended resource is not looked at.
    pub(crate) fn ignores(&self, resource: &str) -> bool {
        let group = resource.split_once('/').map_or(resource, |(group, _)| group);
        self.ignored_resources.iter().any(|name| name == resource)
            || self.ignored_resource_groups.iter().any(|name| name == group)
    }
}
