//! Scopes: of which objects a quota speaks.

use minato_quantity::Quantity;
use serde_json::Value;

use crate::amounts::{items, quantity, text};
use crate::usage::{CLAIMS, PODS};

/// One demand of a quota's scopes or scope selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

impl Scope {
    /// All scopes of a quota's spec: the plain ones are expressions that something exists.
    pub(crate) fn read_all(spec: &Value) -> Vec<Scope> {
        let plain = items(&spec["scopes"]).map(|name| Scope {
            name: text(name).to_owned(),
            operator: "Exists".to_owned(),
            values: Vec::new(),
        });
        plain.chain(items(&spec["scopeSelector"]["matchExpressions"]).map(Scope::read)).collect()
    }

    /// An expression of a scope selector.
    pub(crate) fn read(expression: &Value) -> Scope {
        Scope {
            name: text(&expression["scopeName"]).to_owned(),
            operator: text(&expression["operator"]).to_owned(),
            values: items(&expression["values"]).map(|value| text(value).to_owned()).collect(),
        }
    }

    /// Whether both are about the same property of objects.
    pub(crate) fn is_about_the_same(&self, other: &Scope) -> bool {
        self.name == other.name
    }

    /// Whether an object of the kind `storage` is within the scope. Only pods and claims ever are.
    pub(crate) fn holds(&self, storage: &str, object: &Value) -> bool {
        match storage {
            PODS => self.holds_pod(&object["spec"]),
            CLAIMS => self.name == "VolumeAttributesClass" && self.selects_any(&attribute_classes(object)),
            _ => false,
        }
    }

    fn holds_pod(&self, spec: &Value) -> bool {
        match self.name.as_str() {
            "Terminating" => ends_by_itself(spec),
            "NotTerminating" => !ends_by_itself(spec),
            "BestEffort" => is_best_effort(spec),
            "NotBestEffort" => !is_best_effort(spec),
            "CrossNamespacePodAffinity" => looks_across_namespaces(spec),
            "PriorityClass" => {
                let class = Some(text(&spec["priorityClassName"])).filter(|class| !class.is_empty());
                self.selects(class)
            }
            _ => false,
        }
    }

    /// As label selectors select: what is absent is not in any set.
    fn selects(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|listed| listed == value));
        match self.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }

    fn selects_any(&self, values: &[&str]) -> bool {
        if values.is_empty() { self.selects(None) } else { values.iter().any(|value| self.selects(Some(value))) }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{} {} [{}]}}", self.name, self.operator, self.values.join(" "))
    }
}

fn ends_by_itself(spec: &Value) -> bool {
    spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// Whether no container, nor the pod as a whole, asks for any CPU or memory.
fn is_best_effort(spec: &Value) -> bool {
    let containers = items(&spec["containers"]).chain(items(&spec["initContainers"]));
    let asks = |holder: &Value| {
        ["requests", "limits"].iter().any(|list| {
            ["cpu", "memory"]
                .iter()
                .any(|name| quantity(&holder["resources"][list][name]).is_some_and(|amount| amount > Quantity::ZERO))
        })
    };
    !asks(spec) && !containers.into_iter().any(asks)
}

/// Whether an affinity of the pod names or selects namespaces.
fn looks_across_namespaces(spec: &Value) -> bool {
    let affinity = &spec["affinity"];
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let required = items(&affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"]);
        let preferred = items(&affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"]);
        required
            .chain(preferred.map(|term| &term["podAffinityTerm"]))
            .any(|term| items(&term["namespaces"]).next().is_some() || !term["namespaceSelector"].is_null())
    })
}

/// The attribute classes that a claim has, wants, or is on its way to.
fn attribute_classes(claim: &Value) -> Vec<&str> {
    let status = &claim["status"];
    let classes = [
        &claim["spec"]["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    let mut classes: Vec<&str> = classes.into_iter().map(text).filter(|class| !class.is_empty()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}
