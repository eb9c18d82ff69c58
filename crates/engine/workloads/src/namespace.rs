//! The end of a namespace: what is left in it, in the words of its conditions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The finalizer in `spec.finalizers` that keeps a namespace until its content is gone.
pub const FINALIZER: &str = "kubernetes";

/// What an attempt to delete all content came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why some kinds could not be found out.
    pub discovery_errors: Vec<String>,
    /// Why some content could not be deleted.
    pub content_errors: Vec<String>,
    /// Objects that are still there, by resource (`pods.`, `deployments.apps`).
    pub remaining: BTreeMap<String, usize>,
    /// Objects that are held, by finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

impl Outcome {
    /// Whether the namespace is empty for certain, so that it may go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.discovery_errors.is_empty() && self.content_errors.is_empty() && self.remaining.is_empty()
    }
}

/// Whether the namespace is being deleted and waits for its content to go.
#[must_use]
pub fn awaits_deletion(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    namespace.metadata.deletion_timestamp.is_some()
        && finalizers.is_some_and(|all| all.iter().any(|found| found == FINALIZER))
}

/// The conditions that tell of `outcome`; transition times move only with the status.
#[must_use]
pub fn conditions(current: &[NamespaceCondition], outcome: &Outcome, now: Timestamp) -> Vec<NamespaceCondition> {
    struct Words {
        kind: &'static str,
        bad: Option<(&'static str, String)>,
        good: (&'static str, &'static str),
    }
    let problem = |problem: bool, reason: &'static str, message: String| problem.then_some((reason, message));
    let counted = |counts: &BTreeMap<String, usize>, unit: &str| {
        let each: Vec<_> =
            counts.iter().map(|(what, count)| format!("{what} {unit} {count} resource instances")).collect();
        each.join(", ")
    };
    let all = [
        Words {
            kind: "NamespaceDeletionDiscoveryFailure",
            bad: problem(
                !outcome.discovery_errors.is_empty(),
                "DiscoveryFailed",
                format!(
                    "Discovery failed for some groups, {} failing: {}",
                    outcome.discovery_errors.len(),
                    outcome.discovery_errors.join(", ")
                ),
            ),
            good: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Words {
            kind: "NamespaceDeletionGroupVersionParsingFailure",
            bad: None,
            good: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        },
        Words {
            kind: "NamespaceDeletionContentFailure",
            bad: problem(
                !outcome.content_errors.is_empty(),
                "ContentDeletionFailed",
                format!(
                    "Failed to delete all resource types, {} remaining: {}",
                    outcome.content_errors.len(),
                    outcome.content_errors.join(", ")
                ),
            ),
            good: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        },
        Words {
            kind: "NamespaceContentRemaining",
            bad: problem(
                !outcome.remaining.is_empty(),
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", counted(&outcome.remaining, "has")),
            ),
            good: ("ContentRemoved", "All content successfully removed"),
        },
        Words {
            kind: "NamespaceFinalizersRemaining",
            bad: problem(
                !outcome.finalizers.is_empty(),
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    counted(&outcome.finalizers, "in")
                ),
            ),
            good: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        },
    ];
    let conditions = all.into_iter().map(|words| {
        let (status, reason, message) = match words.bad {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", words.good.0, words.good.1.to_owned()),
        };
        let before = current.iter().find(|found| found.type_ == words.kind && found.status == status);
        NamespaceCondition {
            type_: words.kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: before.map_or(Some(Time(now)), |before| before.last_transition_time.clone()),
        }
    });
    let ours: Vec<NamespaceCondition> = conditions.collect();
    let others = current.iter().filter(|found| !ours.iter().any(|our| our.type_ == found.type_)).cloned();
    others.chain(ours.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_in_kubernetes_words() {
        let now = Timestamp::from_second(100).unwrap();
        let outcome = Outcome {
            content_errors: vec!["pods: no".to_owned()],
            remaining: BTreeMap::from([("pods.".to_owned(), 2), ("widgets.example.com".to_owned(), 1)]),
            finalizers: BTreeMap::from([("example.com/hold".to_owned(), 1)]),
            ..Outcome::default()
        };
        assert!(!outcome.is_empty());
        let found = conditions(&[], &outcome, now);
        let texts: Vec<_> = found
            .iter()
            .map(|found| {
                format!(
                    "{}={} {}: {}",
                    found.type_,
                    found.status,
                    found.reason.as_deref().unwrap(),
                    found.message.as_deref().unwrap()
                )
            })
            .collect();
        assert_eq!(
            texts,
            [
                "NamespaceDeletionDiscoveryFailure=False ResourcesDiscovered: All resources successfully discovered",
                "NamespaceDeletionGroupVersionParsingFailure=False ParsedGroupVersions: All legacy kube types successfully parsed",
                "NamespaceDeletionContentFailure=True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: pods: no",
                "NamespaceContentRemaining=True SomeResourcesRemain: Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances",
                "NamespaceFinalizersRemaining=True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
            ]
        );
        let later = conditions(&found, &outcome, Timestamp::from_second(200).unwrap());
        assert_eq!(later, found, "the same outcome is no change");
        let over = conditions(&found, &Outcome::default(), Timestamp::from_second(300).unwrap());
        assert!(over.iter().all(|condition| condition.status == "False"));
        assert_eq!(over[0], found[0]);
        assert_eq!(over[3].last_transition_time, Some(Time(Timestamp::from_second(300).unwrap())));
    }
}
