//! What a pod wants of other pods: affinity, anti-affinity, spread.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use minato_select::{LabelSelector, Operator, Requirement};

use crate::matcher::{Identity, Matcher};
use crate::shared::Shared;

/// What a pod wants of other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Relations {
    /// Required affinity, term by term.
    pub(crate) affinity: Vec<Term>,
    /// The pods that match every term of `affinity`.
    pub(crate) affinity_to: Option<Shared<Matcher>>,
    /// Required anti-affinity.
    pub(crate) anti: Vec<Term>,
    /// Preferences; anti-affinity has negative weights.
    pub(crate) preferred: Vec<(i64, Term)>,
    pub(crate) spread: Vec<Constraint>,
}

/// A term of affinity or anti-affinity: which pods, and in what kind of place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Term {
    pub(crate) topology_key: String,
    pub(crate) matcher: Shared<Matcher>,
}

/// A topology spread constraint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Constraint {
    pub(crate) topology_key: String,
    pub(crate) max_skew: i64,
    /// `DoNotSchedule`, rather than `ScheduleAnyway`.
    pub(crate) is_hard: bool,
    pub(crate) min_domains: i64,
    pub(crate) honors_affinity: bool,
    pub(crate) honors_taints: bool,
    pub(crate) matcher: Shared<Matcher>,
}

impl Relations {
    pub(crate) fn read(spec: &core::PodSpec, pod: &Identity) -> Self {
        let affinity = spec.affinity.as_ref();
        let (to, from) = (
            affinity.and_then(|affinity| affinity.pod_affinity.as_ref()),
            affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref()),
        );
        let required = to.and_then(|to| to.required_during_scheduling_ignored_during_execution.as_ref());
        let forbidden = from.and_then(|from| from.required_during_scheduling_ignored_during_execution.as_ref());
        let wished = to.and_then(|to| to.preferred_during_scheduling_ignored_during_execution.as_ref());
        let unwished = from.and_then(|from| from.preferred_during_scheduling_ignored_during_execution.as_ref());
        let weighted = |sign: i64| {
            move |term: &core::WeightedPodAffinityTerm| {
                (sign * i64::from(term.weight), Term::read(&term.pod_affinity_term, pod))
            }
        };
        let terms = |terms: Option<&Vec<core::PodAffinityTerm>>| -> Vec<Term> {
            terms.into_iter().flatten().map(|term| Term::read(term, pod)).collect()
        };
        let affinity = terms(required);
        Self {
            affinity_to: match affinity.as_slice() {
                [] => None,
                [only] => Some(only.matcher.clone()),
                many => {
                    Some(Shared::new(Matcher::All(many.iter().map(|term| Matcher::clone(&term.matcher)).collect())))
                }
            },
            affinity,
            anti: terms(forbidden),
            preferred: {
                let wished = wished.into_iter().flatten().map(weighted(1));
                wished
                    .chain(unwished.into_iter().flatten().map(weighted(-1)))
                    .filter(|(weight, _)| *weight != 0)
                    .collect()
            },
            spread: spec.topology_spread_constraints.iter().flatten().map(|one| Constraint::read(one, pod)).collect(),
        }
    }

    /// Whether the pod says anything of other pods.
    pub(crate) fn is_empty(&self) -> bool {
        self.affinity.is_empty() && self.anti.is_empty() && self.preferred.is_empty() && self.spread.is_empty()
    }
}

impl Term {
    fn read(term: &core::PodAffinityTerm, pod: &Identity) -> Self {
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(pod.namespace.clone());
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        let keys = |keys: &Option<Vec<String>>, operator| value_of_keys(keys, operator, pod);
        let of_keys = keys(&term.match_label_keys, Operator::In)
            .into_iter()
            .chain(keys(&term.mismatch_label_keys, Operator::NotIn))
            .collect();
        let matcher = Matcher::Term {
            namespaces,
            namespace_selector: term
                .namespace_selector
                .as_ref()
                .map(|selector| read_selector(Some(selector), Vec::new())),
            selector: read_selector(term.label_selector.as_ref(), of_keys),
        };
        Self { topology_key: term.topology_key.clone(), matcher: Shared::new(matcher) }
    }
}

impl Constraint {
    fn read(constraint: &core::TopologySpreadConstraint, pod: &Identity) -> Self {
        let of_keys = value_of_keys(&constraint.match_label_keys, Operator::In, pod);
        let honors = |policy: &Option<String>, default: &str| policy.as_deref().unwrap_or(default) == "Honor";
        Self {
            topology_key: constraint.topology_key.clone(),
            max_skew: constraint.max_skew.into(),
            is_hard: constraint.when_unsatisfiable == "DoNotSchedule",
            min_domains: constraint.min_domains.unwrap_or(1).into(),
            honors_affinity: honors(&constraint.node_affinity_policy, "Honor"),
            honors_taints: honors(&constraint.node_taints_policy, "Ignore"),
            matcher: Shared::new(Matcher::Living {
                namespace: pod.namespace.clone(),
                selector: read_selector(constraint.label_selector.as_ref(), of_keys),
            }),
        }
    }
}

/// The pod's own values of these labels; keys that it does not have are ignored.
fn value_of_keys(keys: &Option<Vec<String>>, operator: Operator, pod: &Identity) -> Vec<Requirement> {
    let values = keys.iter().flatten().filter_map(|key| Some((key, pod.labels.get(key)?)));
    values.filter_map(|(key, value)| Requirement::new(key, operator, [value]).ok()).collect()
}

/// An absent selector matches nothing, and so does one that the API would have refused.
fn read_selector(selector: Option<&meta::LabelSelector>, more: Vec<Requirement>) -> LabelSelector {
    match selector.map(LabelSelector::try_from) {
        Some(Ok(selector)) if more.is_empty() => selector,
        Some(Ok(selector)) => {
            let mut requirements = selector.requirements().to_vec();
            requirements.extend(more.into_iter().filter(|one| !selector.requirements().contains(one)));
            LabelSelector::from_requirements(requirements)
        }
        Some(Err(_)) | None => LabelSelector::nothing(),
    }
}
