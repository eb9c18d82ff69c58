//! Which pods a term of affinity or a spread constraint speaks of.

use std::collections::{BTreeMap, HashMap};

use minato_select::LabelSelector;

/// What terms and constraints see of a pod. Pods with equal identities are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The uid of the controller whose pods are spread by default.
    pub(crate) group: Option<String>,
    /// Being deleted: no longer counted in the spread.
    pub(crate) is_ending: bool,
}

/// The labels of all namespaces.
pub(crate) type Namespaces = HashMap<String, BTreeMap<String, String>>;

/// A set of pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Matcher {
    /// A term of pod affinity or anti-affinity.
    Term { namespaces: Vec<String>, namespace_selector: Option<LabelSelector>, selector: LabelSelector },
    /// Pods in all of the sets: upstream counts for affinity only the pods that match every term.
    All(Vec<Matcher>),
    /// Of a spread constraint: pods of a namespace that are not being deleted.
    Living { namespace: String, selector: LabelSelector },
    /// Pods of one controller that are not being deleted.
    Group(String),
}

impl Matcher {
    pub(crate) fn matches(&self, pod: &Identity, all: &Namespaces) -> bool {
        match self {
            Self::Term { namespaces, namespace_selector, selector } => {
                let selects_namespace = |wanted: &LabelSelector| match all.get(&pod.namespace) {
                    Some(labels) => wanted.matches_labels(labels),
                    None => wanted.matches(|_| None),
                };
                (namespaces.contains(&pod.namespace) || namespace_selector.as_ref().is_some_and(selects_namespace))
                    && selector.matches_labels(&pod.labels)
            }
            Self::All(parts) => parts.iter().all(|part| part.matches(pod, all)),
            Self::Living { namespace, selector } => {
                !pod.is_ending && *namespace == pod.namespace && selector.matches_labels(&pod.labels)
            }
            Self::Group(group) => !pod.is_ending && pod.group.as_ref() == Some(group),
        }
    }

    /// The one namespace whose pods may match, if it is known.
    pub(crate) fn only_namespace(&self) -> Option<&str> {
        match self {
            Self::Term { namespaces, namespace_selector: None, .. } => match namespaces.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            Self::Term { .. } | Self::Group(_) => None,
            Self::All(parts) => parts.iter().find_map(Self::only_namespace),
            Self::Living { namespace, .. } => Some(namespace),
        }
    }

    /// Whether the labels of namespaces matter.
    pub(crate) fn reads_namespaces(&self) -> bool {
        match self {
            Self::Term { namespace_selector, .. } => namespace_selector.is_some(),
            Self::All(parts) => parts.iter().any(Self::reads_namespaces),
            Self::Living { .. } | Self::Group(_) => false,
        }
    }
}
