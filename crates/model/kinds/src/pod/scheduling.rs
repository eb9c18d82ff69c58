//! Where a pod may run: affinity, tolerations, topology spread, gates.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::metadata::{label_map, label_selector};
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn validate(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(labels) = spec.map("nodeSelector") {
        label_map(labels, &at.field("nodeSelector"), errors);
    }
    if let Some(affinity) = spec.at("affinity") {
        self::affinity(affinity, &at.field("affinity"), errors);
    }
    gates(spec, &at.field("schedulingGates"), errors);
    topology_spread(spec, &at.field("topologySpreadConstraints"), errors);
}

fn affinity(affinity: &Value, at: &At<'_>, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    if let Some(node) = affinity.at("nodeAffinity") {
        let at = at.field("nodeAffinity");
        if let Some(selector) = node.at(REQUIRED) {
            node_selector(selector, &at.field(REQUIRED), errors);
        }
        let at = at.field(PREFERRED);
        for (index, term) in node.list(PREFERRED).iter().enumerate() {
            let at = at.index(index);
            weight(term, &at, errors);
            node_selector_term(term.or_null("preference"), &at.field("preference"), errors);
        }
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.at(name) else { continue };
        let at = at.field(name);
        let required_at = at.field(REQUIRED);
        for (index, term) in pods.list(REQUIRED).iter().enumerate() {
            pod_affinity_term(term, &required_at.index(index), errors);
        }
        let preferred_at = at.field(PREFERRED);
        for (index, term) in pods.list(PREFERRED).iter().enumerate() {
            let at = preferred_at.index(index);
            weight(term, &at, errors);
            pod_affinity_term(term.or_null("podAffinityTerm"), &at.field("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, at: &At<'_>, errors: &mut Errors) {
    let weight = term.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&at.field("weight"), weight, "must be in the range 1-100");
    }
}

/// A node selector: terms, at least one.
pub(crate) fn node_selector(selector: &Value, at: &At<'_>, errors: &mut Errors) {
    let terms = selector.list("nodeSelectorTerms");
    let at = at.field("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&at, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(term, &at.index(index), errors);
    }
}

fn node_selector_term(term: &Value, at: &At<'_>, errors: &mut Errors) {
    let expressions_at = at.field("matchExpressions");
    for (index, requirement) in term.list("matchExpressions").iter().enumerate() {
        node_expression(requirement, &expressions_at.index(index), errors);
    }
    let fields_at = at.field("matchFields");
    for (index, requirement) in term.list("matchFields").iter().enumerate() {
        node_field(requirement, &fields_at.index(index), errors);
    }
}

fn node_expression(requirement: &Value, at: &At<'_>, errors: &mut Errors) {
    let values = requirement.list("values");
    let values_at = at.field("values");
    match requirement.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&values_at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(&values_at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.required(&values_at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        operator => errors.invalid(&at.field("operator"), operator, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
}

fn node_field(requirement: &Value, at: &At<'_>, errors: &mut Errors) {
    match requirement.text("operator") {
        "In" | "NotIn" => {
            if requirement.list("values").len() != 1 {
                let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.required(&at.field("values"), detail);
            }
        }
        operator => errors.invalid(&at.field("operator"), operator, "not a valid selector operator"),
    }
    let key = requirement.text("key");
    if key != "metadata.name" {
        errors.invalid(&at.field("key"), key, "not a valid field selector key");
        return;
    }
    let at = at.field("values");
    for (index, name) in requirement.texts("values").enumerate() {
        errors.each_invalid(&at.index(index), name, names::dns_subdomain(name));
    }
}

fn pod_affinity_term(term: &Value, at: &At<'_>, errors: &mut Errors) {
    for name in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = term.at(name) {
            label_selector(selector, &at.field(name), errors);
        }
    }
    for namespace in term.texts("namespaces") {
        errors.each_invalid(&at.field("namespace"), namespace, names::dns_label(namespace));
    }
    label_keys(term, at, errors);
    let key = term.text("topologyKey");
    let at = at.field("topologyKey");
    if key.is_empty() {
        errors.required(&at, "can not be empty");
    }
    errors.each_invalid(&at, key, names::qualified_name(key));
}

fn label_keys(term: &Value, at: &At<'_>, errors: &mut Errors) {
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = at.field(name);
        if !term.list(name).is_empty() && !term.has("labelSelector") {
            errors.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (index, key) in term.texts(name).enumerate() {
            errors.each_invalid(&at.index(index), key, names::qualified_name(key));
        }
    }
    let at = at.field("matchLabelKeys");
    for (index, key) in term.texts("matchLabelKeys").enumerate() {
        if term.texts("mismatchLabelKeys").any(|other| other == key) {
            errors.invalid(&at.index(index), key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

fn gates(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let gates = spec.list("schedulingGates");
    let mut seen = Seen::new();
    for (index, gate) in gates.iter().enumerate() {
        let at = at.index(index);
        let name = gate.text("name");
        errors.each_invalid(&at, name, names::qualified_name(name));
        if seen.again(name) {
            errors.duplicate(&at, name);
        }
    }
}

fn topology_spread<'a>(spec: &'a Value, at: &At<'_>, errors: &mut Errors) {
    const WHEN: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    const POLICIES: [&str; 2] = ["Honor", "Ignore"];
    const ABOVE_ZERO: &str = "must be greater than zero";
    let constraints = spec.list("topologySpreadConstraints");
    let pair = |constraint: &'a Value| (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
    let mut later = Seen::new();
    // Complained of is the first of two, so the list is read from its end.
    let mut repeated: Vec<bool> = constraints.iter().rev().map(|constraint| later.again(pair(constraint))).collect();
    repeated.reverse();
    for (index, (constraint, again)) in constraints.iter().zip(repeated).enumerate() {
        let at = at.index(index);
        let skew = constraint.int("maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&at.field("maxSkew"), skew, ABOVE_ZERO);
        }
        let (key, when) = pair(constraint);
        if key.is_empty() {
            errors.required(&at.field("topologyKey"), "can not be empty");
        }
        if !WHEN.contains(&when) {
            errors.not_supported(&at.field("whenUnsatisfiable"), when, &WHEN);
        }
        if again {
            errors.duplicate(&at.field("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {when}}}"));
        }
        if let Some(domains) = constraint.int("minDomains") {
            let at = at.field("minDomains");
            if domains <= 0 {
                errors.invalid(&at, domains, ABOVE_ZERO);
            }
            if when != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
                errors.invalid(&at, domains, detail);
            }
        }
        check::one_of_if(constraint, "nodeAffinityPolicy", &POLICIES, &at, errors);
        check::one_of_if(constraint, "nodeTaintsPolicy", &POLICIES, &at, errors);
        spread_label_keys(constraint, &at.field("matchLabelKeys"), errors);
        if let Some(selector) = constraint.at("labelSelector") {
            label_selector(selector, &at.field("labelSelector"), errors);
        }
    }
}

fn spread_label_keys(constraint: &Value, at: &At<'_>, errors: &mut Errors) {
    let keys = constraint.list("matchLabelKeys");
    if keys.is_empty() {
        return;
    }
    let selector = constraint.or_null("labelSelector");
    if selector.is_null() {
        errors.forbidden(at, "must not be specified when labelSelector is not set");
    }
    for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        let at = at.index(index);
        errors.each_invalid(&at, key, names::qualified_name(key));
        let selected = selector.map("matchLabels").is_some_and(|labels| labels.contains_key(key))
            || selector.list("matchExpressions").iter().any(|expression| expression.text("key") == key);
        if selected {
            errors.invalid(&at, key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

/// `spec.tolerations`.
pub(super) fn tolerations(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, toleration) in spec.list("tolerations").iter().enumerate() {
        self::toleration(toleration, &at.index(index), errors);
    }
}

/// One toleration.
pub(crate) fn toleration(toleration: &Value, at: &At<'_>, errors: &mut Errors) {
    let (key, operator, effect) = (toleration.text("key"), toleration.text("operator"), toleration.text("effect"));
    if !key.is_empty() {
        errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(&at.field("operator"), operator, detail);
    }
    if toleration.has("tolerationSeconds") && effect != "NoExecute" {
        errors.invalid(&at.field("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    match operator {
        "" | "Equal" => {
            let complaints = names::label_value(toleration.text("value"));
            if !complaints.is_empty() {
                errors.invalid(&at.field("operator"), toleration.text("value"), complaints.join(";"));
            }
        }
        "Exists" => {
            if !toleration.text("value").is_empty() {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.invalid(&at.field("operator"), toleration.clone(), detail);
            }
        }
        operator => errors.not_supported(&at.field("operator"), operator, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        taint_effect(effect, &at.field("effect"), errors);
    }
}

/// The effect of a taint.
pub(crate) fn taint_effect(effect: &str, at: &At<'_>, errors: &mut Errors) {
    if !EFFECTS.contains(&effect) {
        errors.not_supported(at, effect, &EFFECTS);
    }
}
