//! What a new policy would have said to the pods that are there already.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::pod::{items, text};
use crate::policy::LevelVersion;

/// How many pods are looked at when a namespace's policy changes.
pub const PODS_MAX: usize = 3000;

/// What to tell somebody who makes `namespace` enforce `standard`, where `pods` are already.
pub fn warnings_about_existing(namespace: &str, standard: LevelVersion, pods: &[Value]) -> Vec<String> {
    // One pod of each controller first: its siblings are like it.
    let mut controllers = HashSet::new();
    let (firsts, siblings): (Vec<&Value>, Vec<&Value>) = pods.iter().partition(|pod| {
        let owners = items(&pod["metadata"]["ownerReferences"]);
        let controller = owners.filter(|owner| owner["controller"] == true).map(|owner| text(&owner["uid"])).next();
        controller.is_none_or(|uid| controllers.insert(uid))
    });
    // From what is wrong to the first pod's name, and how many there are.
    let mut wrong: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for pod in firsts.into_iter().chain(siblings).take(PODS_MAX) {
        let violations = crate::evaluate(standard, &pod["metadata"], &pod["spec"]);
        if violations.is_empty() {
            continue;
        }
        let reasons = violations.into_iter().map(|violation| violation.reason).collect::<Vec<_>>().join(", ");
        let name = text(&pod["metadata"]["name"]);
        let entry = wrong.entry(reasons).or_insert((name, 0));
        entry.0 = entry.0.min(name);
        entry.1 += 1;
    }
    let mut warnings = Vec::new();
    if pods.len() > PODS_MAX {
        let total = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_MAX} of {total} existing pods"
        ));
    }
    if !wrong.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut of_pods: Vec<String> = wrong
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            count => format!("{name} (and {} other pods): {reasons}", count - 1),
        })
        .collect();
    of_pods.sort();
    warnings.extend(of_pods);
    warnings
}
