//! Node selectors and node affinity: which nodes a pod may or would rather go to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use minato_select::{Operator, Requirement};

/// What a pod wants of a node's labels and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct NodeAffinity {
    /// `spec.nodeSelector`: all of these labels.
    selector: BTreeMap<String, String>,
    /// One of these, if there is a requirement at all.
    required: Option<Vec<Term>>,
    /// These add to the score.
    preferred: Vec<(i64, Term)>,
}

/// All conditions of a term must hold; a term without conditions, or with one that makes no sense, holds never.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    labels: Vec<Requirement>,
    names: Vec<NameCondition>,
    is_void: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NameCondition {
    equal: bool,
    name: String,
}

impl NodeAffinity {
    pub(crate) fn read(spec: &core::PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        Self::of(affinity, spec.node_selector.as_ref())
    }

    pub(crate) fn of(affinity: Option<&core::NodeAffinity>, selector: Option<&BTreeMap<String, String>>) -> Self {
        let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = affinity.and_then(|node| node.preferred_during_scheduling_ignored_during_execution.as_ref());
        let preferred = preferred.into_iter().flatten().filter(|term| term.weight != 0);
        Self {
            selector: selector.cloned().unwrap_or_default(),
            required: required.map(|selector| selector.node_selector_terms.iter().map(Term::read).collect()),
            preferred: preferred
                .map(|term| (i64::from(term.weight), Term::read(&term.preference)))
                .filter(|(_, term)| !term.is_void)
                .collect(),
        }
    }

    pub(crate) fn admits(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.holds(name, labels)))
    }

    /// The one node that may be chosen, if the requirement names it, as that of every DaemonSet pod does.
    pub(crate) fn only_node(&self) -> Option<&str> {
        let mut names =
            self.required.as_ref()?.iter().map(|term| {
                term.names.iter().find(|condition| condition.equal).map(|condition| condition.name.as_str())
            });
        let first = names.next()??;
        names.all(|name| name == Some(first)).then_some(first)
    }

    /// The sum of the weights of what the pod would like and the node has.
    pub(crate) fn preference(&self, name: &str, labels: &BTreeMap<String, String>) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.holds(name, labels)).map(|(weight, _)| weight).sum()
    }
}

impl Term {
    fn read(term: &core::NodeSelectorTerm) -> Self {
        let expressions = || term.match_expressions.iter().flatten();
        let fields = || term.match_fields.iter().flatten();
        let labels: Option<Vec<Requirement>> = expressions().map(label_requirement).collect();
        let names: Option<Vec<NameCondition>> = fields().map(name_condition).collect();
        let is_empty = expressions().chain(fields()).next().is_none();
        match (labels, names) {
            (Some(labels), Some(names)) => Self { labels, names, is_void: is_empty },
            _ => Self { labels: Vec::new(), names: Vec::new(), is_void: true },
        }
    }

    fn holds(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let label = |key: &str| labels.get(key).map(String::as_str);
        !self.is_void
            && self.labels.iter().all(|requirement| requirement.holds(label(requirement.key())))
            && self.names.iter().all(|condition| (condition.name == name) == condition.equal)
    }
}

fn label_requirement(written: &core::NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match written.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(&written.key, operator, written.values.iter().flatten()).ok()
}

/// The API allows `metadata.name` with exactly one value and nothing else.
fn name_condition(written: &core::NodeSelectorRequirement) -> Option<NameCondition> {
    let equal = match written.operator.as_str() {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    match written.values.as_deref() {
        Some([name]) if written.key == "metadata.name" => Some(NameCondition { equal, name: name.clone() }),
        _ => None,
    }
}
