//! The file of `--scheduler-config`: `kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration`.
//!
//! Everything that is wrong with it is told at once, each with the path of its field, in upstream's words.

mod arguments;
mod extenders;
mod file;
mod plugins;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::{Config, Profile};
use file::File;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// Not a `KubeSchedulerConfiguration`.
    #[error("not a KubeSchedulerConfiguration: {0}")]
    Malformed(String),
    /// Something in it makes no sense.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// What is wrong, field by field.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn invalid(&mut self, path: impl std::fmt::Display, value: impl std::fmt::Display, why: &str) {
        self.0.push(format!("{path}: Invalid value: {value}: {why}"));
    }

    fn required(&mut self, path: impl std::fmt::Display) {
        self.0.push(format!("{path}: Required value"));
    }

    fn duplicate(&mut self, path: impl std::fmt::Display, value: &str) {
        self.0.push(format!("{path}: Duplicate value: {value:?}"));
    }

    fn other(&mut self, path: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.0.push(format!("{path}: {why}"));
    }

    /// Tells if a number is outside of a range.
    fn range(&mut self, path: impl std::fmt::Display, value: i64, from: i64, to: i64) {
        if value < from || value > to {
            self.invalid(path, value, &format!("not in valid range [{from}-{to}]"));
        }
    }
}

impl Config {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ConfigurationError`].
    pub fn parse(yaml: &str) -> Result<Self, ConfigurationError> {
        let file: File =
            serde_saphyr::from_str(yaml).map_err(|error| ConfigurationError::Malformed(error.to_string()))?;
        if file.kind != "KubeSchedulerConfiguration" || file.api_version != "kubescheduler.config.k8s.io/v1" {
            return Err(ConfigurationError::Malformed(format!("found {} {}", file.api_version, file.kind)));
        }
        let mut problems = Problems::default();
        let config = Self::settle(file, &mut problems);
        if problems.0.is_empty() { Ok(config) } else { Err(ConfigurationError::Invalid(problems.0)) }
    }

    fn settle(file: File, problems: &mut Problems) -> Self {
        let defaults = Self::default();
        if file.parallelism.is_some_and(|parallelism| parallelism <= 0) {
            let value = file.parallelism.unwrap_or_default();
            problems.invalid("parallelism", value, "should be an integer value greater than zero");
        }
        // Every node is looked at, whatever the percentage.
        if let Some(percentage) = file.percentage_of_nodes_to_score {
            problems.range("percentageOfNodesToScore", percentage, 0, 100);
        }
        let initial = file.pod_initial_backoff_seconds.unwrap_or(1);
        let max = file.pod_max_backoff_seconds.unwrap_or(10);
        if initial <= 0 {
            problems.invalid("podInitialBackoffSeconds", initial, "must be greater than 0");
        }
        if max < initial {
            let why = "must be greater than or equal to PodInitialBackoffSeconds";
            problems.invalid("podMaxBackoffSeconds", max, why);
        }
        let mut profiles = Vec::new();
        let mut names = BTreeSet::new();
        for (index, given) in file.profiles.into_iter().enumerate() {
            let path = format!("profiles[{index}]");
            let name = given.scheduler_name.unwrap_or_else(|| crate::DEFAULT_SCHEDULER.to_owned());
            if name.is_empty() {
                problems.required(format!("{path}.schedulerName"));
            }
            if !names.insert(name.clone()) {
                problems.duplicate(format!("{path}.schedulerName"), &name);
            }
            if let Some(percentage) = given.percentage_of_nodes_to_score {
                problems.range(format!("{path}.percentageOfNodesToScore"), percentage, 0, 100);
            }
            let mut profile = Profile::named(&name);
            plugins::apply(&given.plugins, &format!("{path}.plugins"), &mut profile.placement, problems);
            arguments::apply(given.plugin_config, &format!("{path}.pluginConfig"), &mut profile, problems);
            profiles.push(profile);
        }
        if profiles.is_empty() {
            profiles = defaults.profiles;
        }
        let extenders = extenders::settle(file.extenders, &mut profiles, problems);
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        Self { profiles, extenders, backoff_first: seconds(initial), backoff_max: seconds(max), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use minato_placement::{Plugin, Strategy};

    use super::*;

    const HEAD: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

    fn problems(rest: &str) -> String {
        Config::parse(&format!("{HEAD}{rest}")).unwrap_err().to_string()
    }

    fn placement(rest: &str) -> minato_placement::Profile {
        Config::parse(&format!("{HEAD}profiles: [{rest}]")).unwrap().profiles.remove(0).placement
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::parse(HEAD).unwrap();
        assert_eq!(config.profiles.len(), 1);
        assert_eq!(config.profiles[0].scheduler_name, "default-scheduler");
        let weights = |profile: &minato_placement::Profile| Plugin::ALL.map(|plugin| profile.weight(plugin));
        let default = minato_placement::Profile::default();
        assert_eq!(weights(&placement("{schedulerName: x, plugins: {}}")), weights(&default));
        let mut filtering = Plugin::ALL.iter().filter(|plugin| plugin.filters());
        assert!(filtering.all(|plugin| placement("{}").filters(*plugin)));
    }

    #[test]
    fn plugins_by_extension_point() {
        let profile = placement(
            "{plugins: {multiPoint: {disabled: [{name: ImageLocality}], enabled: [{name: TaintToleration, weight: 7}]},
              filter: {disabled: [{name: NodePorts}]},
              score: {disabled: [{name: NodeAffinity}], enabled: [{name: PodTopologySpread, weight: 5}]},
              postFilter: {disabled: [{name: '*'}]}}}",
        );
        assert_eq!(profile.weight(Plugin::ImageLocality), 0);
        assert_eq!(profile.weight(Plugin::TaintToleration), 7);
        assert_eq!(profile.weight(Plugin::NodeAffinity), 0);
        assert_eq!(profile.weight(Plugin::PodTopologySpread), 5);
        assert!(!profile.filters(Plugin::NodePorts) && profile.filters(Plugin::NodeAffinity));
        assert!(!profile.preempts);

        let bare = placement(
            "{plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}, {name: PrioritySort},
              {name: DefaultBinder}]}}}",
        );
        let scoring = Plugin::ALL.iter().filter(|plugin| bare.weight(**plugin) != 0);
        assert_eq!(scoring.collect::<Vec<_>>(), [&Plugin::NodeResourcesFit]);
        let filtering = Plugin::ALL.iter().filter(|plugin| plugin.filters() && bare.filters(**plugin));
        assert_eq!(filtering.collect::<Vec<_>>(), [&Plugin::NodeResourcesFit]);
    }

    #[test]
    fn arguments() {
        let profile = placement(
            "{pluginConfig: [
              {name: NodeResourcesFit, args: {apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeResourcesFitArgs,
                ignoredResources: [example.com/a], scoringStrategy: {type: RequestedToCapacityRatio, resources:
                [{name: cpu, weight: 3}], requestedToCapacityRatio: {shape: [{utilization: 0, score: 0},
                {utilization: 100, score: 10}]}}}},
              {name: InterPodAffinity, args: {hardPodAffinityWeight: 9}},
              {name: DefaultPreemption, args: {minCandidateNodesPercentage: 50, minCandidateNodesAbsolute: 3}},
              {name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 2, topologyKey: k,
                whenUnsatisfiable: DoNotSchedule}]}}]}",
        );
        assert_eq!(profile.strategy, Strategy::RequestedToCapacityRatio(vec![(0, 0), (100, 10)]));
        assert_eq!(profile.fit_resources, [("cpu".to_owned(), 3)]);
        assert_eq!(profile.ignored_resources, ["example.com/a"]);
        assert_eq!(profile.hard_pod_affinity_weight, 9);
        assert_eq!((profile.candidate_nodes_percentage, profile.candidate_nodes_min), (50, 3));
        assert_eq!(profile.default_constraints.len(), 1);
        assert!(profile.default_constraints[0].is_hard && !profile.constraints_are_the_systems);
        let config = "profiles: [{pluginConfig: [{name: VolumeBinding, args: {bindTimeoutSeconds: 5}}]}]";
        let config = Config::parse(&format!("{HEAD}{config}")).unwrap();
        assert_eq!(config.profiles[0].volume_bind_timeout, Duration::from_secs(5));
    }

    #[test]
    fn extenders() {
        let config = "extenders: [{urlPrefix: 'http://x/y/', filterVerb: f, enableHTTPS: true, httpTimeout: 1m5s,
            managedResources: [{name: example.com/a, ignoredByScheduler: true}], tlsConfig: {insecure: true}}]";
        let config = Config::parse(&format!("{HEAD}{config}")).unwrap();
        let extender = &config.extenders[0];
        assert_eq!(extender.cluster["server"], "https://x/y");
        assert_eq!(extender.timeout, Duration::from_secs(65));
        assert_eq!(config.profiles[0].placement.ignored_resources, ["example.com/a"]);
    }

    #[test]
    fn what_is_wrong() {
        let fit = |args: &str| format!("profiles: [{{pluginConfig: [{{name: NodeResourcesFit, args: {args}}}]}}]");
        for (rest, expected) in [
            ("parallelism: 0", "parallelism: Invalid value: 0: should be an integer value greater than zero"),
            (
                "percentageOfNodesToScore: 101",
                "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
            ),
            (
                "podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4",
                "podMaxBackoffSeconds: Invalid value: 4: must be greater than or equal to PodInitialBackoffSeconds",
            ),
            ("profiles: [{}, {}]", "profiles[1].schedulerName: Duplicate value: \"default-scheduler\""),
            (
                "profiles: [{plugins: {filter: {enabled: [{name: Foo}]}}}]",
                "profiles[0].plugins.filter.enabled[0].name: FilterPlugin \"Foo\" does not exist",
            ),
            (
                "profiles: [{plugins: {score: {enabled: [{name: NodePorts}]}}}]",
                "profiles[0].plugins.score.enabled[0].name: plugin \"NodePorts\" does not extend ScorePlugin plugin",
            ),
            (
                "profiles: [{plugins: {queueSort: {disabled: [{name: '*'}]}}}]",
                "profiles[0].plugins.queueSort: only one queue sort plugin required for profile",
            ),
            (
                "profiles: [{pluginConfig: [{name: Foo}]}]",
                "profiles[0].pluginConfig[0].name: plugin \"Foo\" does not exist",
            ),
            (
                &fit("{scoringStrategy: {type: Best}}"),
                "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Best\"",
            ),
            (
                &fit("{scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 101}]}}"),
                "profiles[0].pluginConfig[0].args.scoringStrategy.resources[0].weight: Invalid value: 101: not in valid range [1-100]",
            ),
            (&fit("{scoringStrategies: {}}"), "profiles[0].pluginConfig[0].args: unknown field `scoringStrategies`"),
            (
                "extenders: [{urlPrefix: 'http://x', prioritizeVerb: p}]",
                "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
            ),
            (
                "extenders: [{urlPrefix: 'http://x', bindVerb: b}, {urlPrefix: 'http://y', bindVerb: b}]",
                "extenders: Invalid value: 2: found 2 extenders implementing bind",
            ),
            (
                "extenders: [{urlPrefix: 'http://x', managedResources: [{name: example.com/a}, {name: example.com/a}]}]",
                "extenders[0].managedResources[1]: Invalid value: example.com/a: duplicate extender managed resource name",
            ),
        ] {
            let found = problems(rest);
            assert!(found.contains(expected), "{rest}: {found}");
        }
        assert!(problems("profile: []").contains("profile"));
        assert!(Config::parse("apiVersion: v1\nkind: Pod").is_err());
    }
}
