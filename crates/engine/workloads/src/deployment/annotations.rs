//! What a Deployment writes on its ReplicaSets beside their spec.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

/// The revision of a ReplicaSet, and the current one of a Deployment.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions that a ReplicaSet had before it was rolled back to, separated by commas.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// `spec.replicas` of the Deployment when the set was scaled last.
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// `spec.replicas` plus maxSurge of the Deployment when the set was scaled last.
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that mean the Deployment itself.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
const HISTORY_LENGTH_MAX: usize = 2000;

/// The size of a Deployment, as noted on its sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub desired: i32,
    pub max: i32,
}

fn annotation<'a>(set: &'a ReplicaSet, key: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn number(set: &ReplicaSet, key: &str) -> Option<i32> {
    annotation(set, key)?.parse().ok()
}

pub(super) fn desired_replicas(set: &ReplicaSet) -> Option<i32> {
    number(set, DESIRED_REPLICAS)
}

pub(super) fn max_replicas(set: &ReplicaSet) -> Option<i32> {
    number(set, MAX_REPLICAS)
}

/// The revision of a set; 0 where it has none or a broken one.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

pub(super) fn sizes_differ(set: &ReplicaSet, sizes: Sizes) -> bool {
    desired_replicas(set) != Some(sizes.desired) || max_replicas(set) != Some(sizes.max)
}

pub(super) fn set_sizes(set: &mut ReplicaSet, sizes: Sizes) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED_REPLICAS.to_owned(), sizes.desired.to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), sizes.max.to_string());
}

/// The annotations that the set of the current revision should have. A set that is rolled back to keeps its former
/// revision in the history.
pub(super) fn of_current_revision(
    deployment: &Deployment,
    set: &ReplicaSet,
    revision: i64,
) -> BTreeMap<String, String> {
    let mut annotations = set.metadata.annotations.clone().unwrap_or_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let former = match annotation(set, REVISION).map(str::parse::<i64>) {
        Some(Err(_)) => return annotations, // somebody wrote nonsense there: not ours to judge
        Some(Ok(former)) => Some(former),
        None => None,
    };
    if former.unwrap_or(0) < revision {
        annotations.insert(REVISION.to_owned(), revision.to_string());
        if let Some(former) = former {
            let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
            append_to_history(history, former);
        }
    }
    annotations
}

fn append_to_history(history: &mut String, revision: i64) {
    let revision = revision.to_string();
    while history.len() + 1 + revision.len() > HISTORY_LENGTH_MAX {
        let Some(comma) = history.find(',') else { break };
        history.drain(..=comma);
    }
    if !history.is_empty() {
        history.push(',');
    }
    history.push_str(&revision);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded() {
        let mut history = String::new();
        for revision in 1..2000 {
            append_to_history(&mut history, revision);
        }
        assert!(history.len() <= HISTORY_LENGTH_MAX && history.ends_with(",1998,1999") && !history.starts_with(','));
    }
}
