//! What plugins are told: `pluginConfig`.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use minato_placement::{DefaultConstraint, Strategy};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::file::PluginConfig;
use super::{Problems, plugins};
use crate::Profile;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NodeResourcesFitArgs {
    ignored_resources: Vec<String>,
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<ScoringStrategy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScoringStrategy {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    resources: Vec<Resource>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    name: String,
    #[serde(default)]
    weight: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    #[serde(default)]
    shape: Vec<ShapePoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShapePoint {
    utilization: i64,
    score: i64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BalancedArgs {
    resources: Option<Vec<Resource>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct InterPodAffinityArgs {
    hard_pod_affinity_weight: Option<i64>,
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PodTopologySpreadArgs {
    default_constraints: Vec<TopologySpreadConstraint>,
    defaulting_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NodeAffinityArgs {
    added_affinity: Option<NodeAffinity>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct DefaultPreemptionArgs {
    min_candidate_nodes_percentage: Option<i64>,
    min_candidate_nodes_absolute: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct VolumeBindingArgs {
    bind_timeout_seconds: Option<i64>,
}

/// Sets what the plugins of `profile` are told.
pub(super) fn apply(given: Vec<PluginConfig>, path: &str, profile: &mut Profile, problems: &mut Problems) {
    let mut names = BTreeSet::new();
    for (index, PluginConfig { name, args }) in given.into_iter().enumerate() {
        let at = format!("{path}[{index}]");
        if !plugins::exists(&name) {
            problems.other(format!("{at}.name"), format_args!("plugin {name:?} does not exist"));
            continue;
        }
        if !names.insert(name.clone()) {
            problems.duplicate(&at, &name);
        }
        let at = format!("{at}.args");
        match name.as_str() {
            "NodeResourcesFit" => fit(read(args, &name, &at, problems), &at, profile, problems),
            "NodeResourcesBalancedAllocation" => balanced(read(args, &name, &at, problems), &at, profile, problems),
            "InterPodAffinity" => affinity(&read(args, &name, &at, problems), &at, profile, problems),
            "PodTopologySpread" => spread(read(args, &name, &at, problems), &at, profile, problems),
            "NodeAffinity" => {
                let args: NodeAffinityArgs = read(args, &name, &at, problems);
                if let Some(added) = &args.added_affinity {
                    profile.placement.set_added_affinity(added);
                }
            }
            "DefaultPreemption" => preemption(&read(args, &name, &at, problems), &at, profile, problems),
            "VolumeBinding" => {
                let args: VolumeBindingArgs = read(args, &name, &at, problems);
                let seconds = args.bind_timeout_seconds.unwrap_or(600);
                match u64::try_from(seconds) {
                    Ok(seconds) => profile.volume_bind_timeout = Duration::from_secs(seconds),
                    Err(_) => {
                        let why = "invalid BindTimeoutSeconds, should not be a negative value";
                        problems.invalid(format!("{at}.bindTimeoutSeconds"), seconds, why);
                    }
                }
            }
            _ if args.is_null() => {}
            _ => problems.other(at, format_args!("plugin {name:?} takes no arguments")),
        }
    }
}

/// The arguments, which may say of what kind they are.
fn read<T: DeserializeOwned + Default>(args: Value, plugin: &str, at: &str, problems: &mut Problems) -> T {
    let Value::Object(mut fields) = args else { return T::default() };
    let kind = format!("{plugin}Args");
    if let Some(given) = fields.remove("kind")
        && given != *kind
    {
        problems.invalid(format!("{at}.kind"), given, &format!("the arguments of {plugin} are {kind}"));
    }
    if let Some(given) = fields.remove("apiVersion")
        && given != "kubescheduler.config.k8s.io/v1"
    {
        problems.invalid(format!("{at}.apiVersion"), given, "it is kubescheduler.config.k8s.io/v1");
    }
    serde_json::from_value(Value::Object(fields)).unwrap_or_else(|error| {
        problems.other(at, error);
        T::default()
    })
}

/// Resources with weights; one without has the weight 1.
fn weighed(given: Vec<Resource>, at: &str, problems: &mut Problems) -> Vec<(String, i64)> {
    let mut weighed = Vec::new();
    for (index, Resource { name, weight }) in given.into_iter().enumerate() {
        let weight = if weight == 0 { 1 } else { weight };
        problems.range(format!("{at}[{index}].weight"), weight, 1, 100);
        weighed.push((name, weight));
    }
    weighed
}

fn fit(args: NodeResourcesFitArgs, at: &str, profile: &mut Profile, problems: &mut Problems) {
    for (index, group) in args.ignored_resource_groups.iter().enumerate() {
        if group.contains('/') {
            let at = format!("{at}.ignoredResourceGroups[{index}]");
            problems.invalid(at, format_args!("{group:?}"), "resource group name can't contain '/'");
        }
    }
    profile.placement.ignored_resources = args.ignored_resources;
    profile.placement.ignored_resource_groups = args.ignored_resource_groups;
    let Some(strategy) = args.scoring_strategy else { return };
    let at = format!("{at}.scoringStrategy");
    if !strategy.resources.is_empty() {
        profile.placement.fit_resources = weighed(strategy.resources, &format!("{at}.resources"), problems);
    }
    profile.placement.strategy = match strategy.kind.as_str() {
        "LeastAllocated" | "" => Strategy::LeastAllocated,
        "MostAllocated" => Strategy::MostAllocated,
        "RequestedToCapacityRatio" => {
            let shape = strategy.requested_to_capacity_ratio.map(|ratio| ratio.shape).unwrap_or_default();
            Strategy::RequestedToCapacityRatio(points(
                &shape,
                &format!("{at}.requestedToCapacityRatio.shape"),
                problems,
            ))
        }
        other => {
            let known = "supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"";
            problems.other(format!("{at}.type"), format_args!("Unsupported value: {other:?}: {known}"));
            Strategy::LeastAllocated
        }
    };
}

fn points(shape: &[ShapePoint], at: &str, problems: &mut Problems) -> Vec<(i64, i64)> {
    if shape.is_empty() {
        problems.other(at, "Required value: at least one point must be specified");
    }
    for (index, point) in shape.iter().enumerate() {
        problems.range(format!("{at}[{index}].utilization"), point.utilization, 0, 100);
        problems.range(format!("{at}[{index}].score"), point.score, 0, 10);
        let before = index.checked_sub(1).and_then(|before| shape.get(before));
        if before.is_some_and(|before| before.utilization >= point.utilization) {
            let why = "utilization values must be sorted in increasing order";
            problems.invalid(format!("{at}[{index}].utilization"), point.utilization, why);
        }
    }
    shape.iter().map(|point| (point.utilization, point.score)).collect()
}

fn balanced(args: BalancedArgs, at: &str, profile: &mut Profile, problems: &mut Problems) {
    let Some(given) = args.resources else { return };
    let at = format!("{at}.resources");
    for (index, resource) in given.iter().enumerate().filter(|(_, resource)| ![0, 1].contains(&resource.weight)) {
        problems.invalid(format!("{at}[{index}].weight"), resource.weight, "must be 1");
    }
    profile.placement.balanced_resources = weighed(given, &at, problems);
}

fn affinity(args: &InterPodAffinityArgs, at: &str, profile: &mut Profile, problems: &mut Problems) {
    if let Some(weight) = args.hard_pod_affinity_weight {
        problems.range(format!("{at}.hardPodAffinityWeight"), weight, 0, 100);
        profile.placement.hard_pod_affinity_weight = weight;
    }
    profile.placement.ignore_preferred_terms_of_existing_pods = args.ignore_preferred_terms_of_existing_pods;
}

fn spread(args: PodTopologySpreadArgs, at: &str, profile: &mut Profile, problems: &mut Problems) {
    let kind = args.defaulting_type.as_deref().unwrap_or("System");
    let constraints_at = format!("{at}.defaultConstraints");
    match kind {
        "System" if args.default_constraints.is_empty() => return,
        "System" => {
            let why = "when .defaultingType is \"System\", constraints must be empty";
            problems.invalid(&constraints_at, args.default_constraints.len(), why);
        }
        "List" => {}
        other => {
            let known = "supported values: \"System\", \"List\"";
            problems.other(format!("{at}.defaultingType"), format_args!("Unsupported value: {other:?}: {known}"));
        }
    }
    for (index, constraint) in args.default_constraints.iter().enumerate() {
        let at = format!("{constraints_at}[{index}]");
        if constraint.max_skew <= 0 {
            problems.invalid(format!("{at}.maxSkew"), constraint.max_skew, "not in valid range (0, inf)");
        }
        if constraint.topology_key.is_empty() {
            problems.other(format!("{at}.topologyKey"), "Required value: can not be empty");
        }
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&constraint.when_unsatisfiable.as_str()) {
            let given = &constraint.when_unsatisfiable;
            let known = "supported values: \"DoNotSchedule\", \"ScheduleAnyway\"";
            problems.other(format!("{at}.whenUnsatisfiable"), format_args!("Unsupported value: {given:?}: {known}"));
        }
        if constraint.label_selector.is_some() {
            let why = "Forbidden: constraint must not define a selector, as they deduced for each pod";
            problems.other(format!("{at}.labelSelector"), why);
        }
    }
    let read = |constraint: TopologySpreadConstraint| DefaultConstraint {
        topology_key: constraint.topology_key,
        max_skew: constraint.max_skew.into(),
        is_hard: constraint.when_unsatisfiable == "DoNotSchedule",
    };
    profile.placement.default_constraints = args.default_constraints.into_iter().map(read).collect();
    profile.placement.constraints_are_the_systems = false;
}

fn preemption(args: &DefaultPreemptionArgs, at: &str, profile: &mut Profile, problems: &mut Problems) {
    let percentage = args.min_candidate_nodes_percentage.unwrap_or(10);
    let absolute = args.min_candidate_nodes_absolute.unwrap_or(100);
    problems.range(format!("{at}.minCandidateNodesPercentage"), percentage, 0, 100);
    if absolute < 0 {
        problems.invalid(format!("{at}.minCandidateNodesAbsolute"), absolute, "not in valid range [0, inf)");
    }
    if percentage == 0 && absolute == 0 {
        problems.other(at, "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero");
    }
    profile.placement.candidate_nodes_percentage = usize::try_from(percentage).unwrap_or_default();
    profile.placement.candidate_nodes_min = usize::try_from(absolute).unwrap_or_default();
}
