//! Which plugins do what, as upstream merges a profile's lists with the default ones.

use std::collections::BTreeMap;

use minato_placement::{Plugin, Profile};

use super::Problems;
use super::file::{PluginSet, Plugins};

/// Plugins that are parts of this scheduler's loop rather than of its filters and scores.
const LOOP: [&str; 4] = [QUEUE_SORT, GATES, PREEMPTION, BINDER];
const QUEUE_SORT: &str = "PrioritySort";
const GATES: &str = "SchedulingGates";
const PREEMPTION: &str = "DefaultPreemption";
const BINDER: &str = "DefaultBinder";
/// Upstream has it by default; it can be named to be disabled.
const ABSENT: &str = "DynamicResources";

fn plugin(name: &str) -> Option<Plugin> {
    Plugin::ALL.into_iter().find(|plugin| plugin.name() == name)
}

/// Whether a plugin of that name is there.
pub(super) fn exists(name: &str) -> bool {
    plugin(name).is_some() || LOOP.contains(&name)
}

/// An extension point.
struct Point<'a> {
    name: &'static str,
    /// Upstream's name of what extends it.
    interface: &'static str,
    set: &'a PluginSet,
    extends: fn(&str) -> bool,
}

fn filters(name: &str) -> bool {
    plugin(name).is_some_and(Plugin::filters)
}

fn scores(name: &str) -> bool {
    plugin(name).is_some_and(|plugin| plugin.default_weight().is_some())
}

fn binds_volumes(name: &str) -> bool {
    name == Plugin::VolumeBinding.name()
}

fn points(plugins: &Plugins) -> [Point<'_>; 12] {
    let point = |name, interface, set, extends: fn(&str) -> bool| Point { name, interface, set, extends };
    [
        point("preEnqueue", "PreEnqueuePlugin", &plugins.pre_enqueue, |name| name == GATES),
        point("queueSort", "QueueSortPlugin", &plugins.queue_sort, |name| name == QUEUE_SORT),
        point("preFilter", "PreFilterPlugin", &plugins.pre_filter, filters),
        point("filter", "FilterPlugin", &plugins.filter, filters),
        point("postFilter", "PostFilterPlugin", &plugins.post_filter, |name| name == PREEMPTION),
        point("preScore", "PreScorePlugin", &plugins.pre_score, scores),
        point("score", "ScorePlugin", &plugins.score, scores),
        point("reserve", "ReservePlugin", &plugins.reserve, binds_volumes),
        point("permit", "PermitPlugin", &plugins.permit, |_| false),
        point("preBind", "PreBindPlugin", &plugins.pre_bind, binds_volumes),
        point("bind", "BindPlugin", &plugins.bind, |name| name == BINDER),
        point("postBind", "PostBindPlugin", &plugins.post_bind, |_| false),
    ]
}

/// What is enabled, with weights; 0 is the default weight.
type Enabled = BTreeMap<String, i64>;

fn merge(mut enabled: Enabled, set: &PluginSet) -> Enabled {
    let disabled = |name: &str| set.disabled.iter().any(|entry| entry.name == name || entry.name == "*");
    enabled.retain(|name, _| !disabled(name));
    for entry in &set.enabled {
        enabled.insert(entry.name.clone(), entry.weight);
    }
    enabled
}

/// Sets which plugins of `profile` filter, score and preempt.
pub(super) fn apply(plugins: &Plugins, path: &str, profile: &mut Profile, problems: &mut Problems) {
    let defaults = Plugin::ALL.iter().map(|plugin| plugin.name()).chain(LOOP);
    let everywhere = merge(defaults.map(|name| (name.to_owned(), 0)).collect(), &plugins.multi_point);
    for (index, entry) in plugins.multi_point.enabled.iter().enumerate() {
        if !exists(&entry.name) {
            let at = format!("{path}.multiPoint.enabled[{index}].name");
            problems.other(at, format_args!("plugin {:?} does not exist", entry.name));
        }
    }
    for (index, entry) in plugins.multi_point.disabled.iter().enumerate() {
        check_disabled(&format!("{path}.multiPoint.disabled[{index}].name"), &entry.name, problems);
    }
    for point in points(plugins) {
        let at = format!("{path}.{}", point.name);
        let base: Enabled = everywhere.clone().into_iter().filter(|(name, _)| (point.extends)(name)).collect();
        check(&point, &at, problems);
        let enabled = merge(base, point.set);
        match point.name {
            "queueSort" if enabled.len() != 1 => {
                problems.other(at, "only one queue sort plugin required for profile");
            }
            "bind" if enabled.is_empty() => problems.other(at, "at least one bind plugin is needed for profile"),
            "postFilter" => profile.preempts = !enabled.is_empty(),
            "filter" => {
                Plugin::ALL.iter().for_each(|plugin| profile.set_filter(*plugin, enabled.contains_key(plugin.name())))
            }
            "score" => {
                for plugin in Plugin::ALL {
                    let weight = match enabled.get(plugin.name()) {
                        None => 0,
                        Some(0) => plugin.default_weight().unwrap_or(1),
                        Some(weight) => *weight,
                    };
                    profile.set_weight(plugin, weight);
                }
            }
            _ => {}
        }
    }
}

fn check_disabled(at: &str, name: &str, problems: &mut Problems) {
    if name != "*" && name != ABSENT && !exists(name) {
        problems.other(at, format_args!("plugin {name:?} does not exist"));
    }
}

fn check(point: &Point<'_>, at: &str, problems: &mut Problems) {
    let Point { interface, set, extends, .. } = point;
    for (index, entry) in set.enabled.iter().enumerate() {
        let (at, name) = (format!("{at}.enabled[{index}].name"), entry.name.as_str());
        if !exists(name) {
            problems.other(at, format_args!("{interface} {name:?} does not exist"));
        } else if !extends(name) {
            problems.other(at, format_args!("plugin {name:?} does not extend {interface} plugin"));
        } else if set.enabled.iter().take(index).any(|other| other.name == name) {
            problems.other(at, format_args!("plugin {name:?} already registered as {interface:?}"));
        } else if entry.weight < 0 {
            problems.invalid(at, entry.weight, "the weight must not be negative");
        }
    }
    for (index, entry) in set.disabled.iter().enumerate() {
        check_disabled(&format!("{at}.disabled[{index}].name"), &entry.name, problems);
    }
}
