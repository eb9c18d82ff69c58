//! What may change in a pod that exists.

use serde_json::Value;

use crate::error::Errors;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::{difference, same, same_value};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const RESIZABLE: &str = "only cpu and memory resources are mutable";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks an ordinary update, beyond what holds for any pod.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    mirror(new, old, errors);
    let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
    let at = At::Root.field("spec");
    for list in ["containers", "initContainers"] {
        if !containers(new_spec.list(list), old_spec.list(list), &at.field(list), errors) {
            return;
        }
    }
    if !active_deadline(new_spec, old_spec, &at.field("activeDeadlineSeconds"), errors) {
        return;
    }
    tolerations(new_spec, old_spec, &at.field("tolerations"), errors);
    gates(new_spec, old_spec, &at.field("schedulingGates"), errors);
    if same_value(new_spec, old_spec) {
        return;
    }
    // Put back what may change; whatever still differs may not.
    let mut munged = new_spec.clone();
    for list in ["containers", "initContainers"] {
        for (container, old) in munged.each(list).zip(old_spec.list(list)) {
            container.copy("image", old);
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        munged.copy(field, old_spec);
    }
    let old_grace = old_spec.int("terminationGracePeriodSeconds");
    if old_grace.is_some_and(|seconds| seconds < 0) && munged.int("terminationGracePeriodSeconds") == Some(1) {
        munged.copy("terminationGracePeriodSeconds", old_spec);
    }
    if !old_spec.list("schedulingGates").is_empty() {
        gated(&mut munged, old_spec, &at, errors);
    }
    if !same_value(&munged, old_spec) {
        let changes = difference(old_spec, &munged, "spec");
        errors.forbidden(&at, format!("pod updates may not change fields other than {UPDATABLE}\n{changes}"));
    }
}

/// A pod that the kubelet runs from a file mirrors that file: the annotation that says so stays.
pub(super) fn mirror(new: &Value, old: &Value, errors: &mut Errors) {
    let annotation = |pod: &Value| pod.or_null("metadata").or_null("annotations").text_if(MIRROR).map(str::to_owned);
    let at = At::Root.field("metadata");
    let at = at.field("annotations");
    match (annotation(new), annotation(old)) {
        (new, Some(old)) if new.as_ref() != Some(&old) => {
            errors.forbidden(&at.key(MIRROR), "may not remove or update mirror pod annotation");
        }
        (Some(_), None) => errors.forbidden(&at.key(MIRROR), "may not add mirror pod annotation"),
        _ => {}
    }
}

fn containers(new: &[Value], old: &[Value], at: &At<'_>, errors: &mut Errors) -> bool {
    if new.len() != old.len() {
        errors.forbidden(at, "pod updates may not add or remove containers");
        return false;
    }
    true
}

fn active_deadline(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) -> bool {
    match (new.int("activeDeadlineSeconds"), old.int("activeDeadlineSeconds")) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            errors.invalid(at, seconds, "must be between 0 and 2147483647, inclusive");
            false
        }
        (Some(seconds), Some(before)) if before < seconds => {
            errors.invalid(at, seconds, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            errors.invalid(at, Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn tolerations(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove("tolerationSeconds");
        toleration
    };
    let kept = old.list("tolerations").iter().all(|old| {
        let old = without_seconds(old);
        new.list("tolerations").iter().any(|new| same_value(&without_seconds(new), &old))
    });
    if !kept {
        errors.forbidden(at, "existing toleration can not be modified except its tolerationSeconds");
    }
}

fn gates(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, gate) in new.list("schedulingGates").iter().enumerate() {
        let name = gate.text("name");
        if !old.list("schedulingGates").iter().any(|old| old.text("name") == name) {
            let at = at.index(index);
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.forbidden(&at.field("name"), detail);
        }
    }
}

/// While scheduling gates stand, the pod may be narrowed to fewer nodes.
fn gated(munged: &mut Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    if !same(munged.at("nodeSelector"), old.at("nodeSelector")) {
        let changed = old
            .map("nodeSelector")
            .into_iter()
            .flatten()
            .any(|(key, value)| munged.or_null("nodeSelector").get(key) != Some(value));
        if changed {
            let value = munged.or_null("nodeSelector").clone();
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.invalid(&at.field("nodeSelector"), value, detail);
        }
        munged.copy("nodeSelector", old);
    }
    let old_affinity = old.or_null("affinity").or_null("nodeAffinity");
    let new_affinity = munged.or_null("affinity").or_null("nodeAffinity").clone();
    if same_value(&new_affinity, old_affinity) {
        return;
    }
    let at = at.field("affinity");
    node_affinity(&new_affinity, old_affinity, &at.field("nodeAffinity"), errors);
    if let Some(affinity) = munged.make("affinity") {
        affinity.copy("nodeAffinity", old.or_null("affinity"));
    }
}

fn node_affinity(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let at = at.field(REQUIRED);
    let at = at.field("nodeSelectorTerms");
    let old_terms = old.or_null(REQUIRED).list("nodeSelectorTerms");
    if old_terms.is_empty() {
        return;
    }
    let new_terms = new.or_null(REQUIRED).list("nodeSelectorTerms");
    if new_terms.len() != old_terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.invalid(&at, new_terms.to_vec(), detail);
        return;
    }
    for (index, (new, old)) in new_terms.iter().zip(old_terms).enumerate() {
        let at = at.index(index);
        if new.list("matchExpressions").len() < old.list("matchExpressions").len() {
            errors.invalid(
                &at.field("matchExpressions"),
                new.clone(),
                "only additions are allowed (no mutations or deletions)",
            );
        }
    }
}

/// Checks a change of ephemeral containers: they can be added, never changed or taken away.
pub(super) fn ephemeral_containers(new: &Value, old: &Value, errors: &mut Errors) {
    mirror(new, old, errors);
    if old.or_null("metadata").or_null("annotations").has(MIRROR) {
        errors.forbidden(&At::Root.field(""), "static pods do not support ephemeral containers");
        return;
    }
    let at = At::Root.field("spec");
    let at = at.field("ephemeralContainers");
    let containers = new.or_null("spec").list("ephemeralContainers");
    for old in old.or_null("spec").list("ephemeralContainers") {
        let name = old.text("name");
        match containers.iter().find(|container| container.text("name") == name) {
            None => errors.forbidden(&at, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(new) if !same_value(new, old) => {
                let changes = difference(old, new, name);
                errors.forbidden(&at, format!("existing ephemeral containers {name:?} may not be changed\n{changes}"));
            }
            Some(_) => {}
        }
    }
}

/// Checks a resize: CPU and memory of containers, and nothing that would change the class of service.
pub(super) fn resize(new: &Value, old: &Value, errors: &mut Errors) {
    let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
    let at = At::Root.field("spec");
    if super::qos::class(new_spec) != super::qos::class(old_spec) {
        let class = old.or_null("status").text("qosClass");
        errors.invalid(&at, class, "Pod QOS Class may not change as a result of resizing");
    }
    let mut munged = new_spec.clone();
    for list in ["containers", "initContainers"] {
        for (container, old) in munged.each(list).zip(old_spec.list(list)) {
            for amounts in ["limits", "requests"] {
                let before = old.or_null("resources").or_null(amounts);
                if let Some(resources) = container.make("resources").and_then(|resources| resources.make(amounts)) {
                    resources.copy("cpu", before);
                    resources.copy("memory", before);
                }
            }
        }
    }
    munged.copy("resources", old_spec);
    if !same_value(&munged, old_spec) {
        let changes = difference(old_spec, &munged, "spec");
        errors.forbidden(&at, format!("{RESIZABLE}\n{changes}"));
    }
}
