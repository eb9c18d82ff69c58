//! What may change in a Job that exists.

use serde_json::Value;

use super::job_status::is_true;
use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::{same, same_value};

pub(super) fn validate(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
    completions(new_spec, old_spec, at, errors);
    check::immutable(new_spec, old_spec, "selector", at, errors);
    template(new_spec, old_spec, old.or_null("status"), at, errors);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        check::immutable(new_spec, old_spec, field, at, errors);
    }
}

/// The number of completions is fixed, unless the Job is indexed and scaled together with its parallelism.
fn completions(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    if same(new.at("completions"), old.at("completions")) {
        return;
    }
    let at = at.field("completions");
    let value = new.or_null("completions").clone();
    if new.text("completionMode") != "Indexed" {
        errors.invalid(&at, value, check::IMMUTABLE);
    } else if new.has("completions") && new.int("completions") != new.int("parallelism") {
        errors.invalid(&at, value, "can only be modified in tandem with spec.parallelism");
    }
}

/// The template is fixed. While a suspended Job has not begun, or has stopped, it may still be told where to run, and once it
/// has stopped, with what.
fn template(new: &Value, old: &Value, status: &Value, at: &At<'_>, errors: &mut Errors) {
    let wanted = new.or_null("template");
    let mut template = old.or_null("template").clone();
    let suspended = old.is("suspend");
    let stopped = suspended && is_true(status, "Suspended");
    if suspended && (stopped || !status.has("startTime")) {
        scheduling(&mut template, wanted);
    }
    if stopped {
        resources(&mut template, wanted);
    }
    if !same_value(wanted, &template) {
        errors.invalid(&at.field("template"), wanted.clone(), check::IMMUTABLE);
    }
}

fn scheduling(template: &mut Value, wanted: &Value) {
    let pod = wanted.or_null("spec");
    if let Some(spec) = template.inside("spec") {
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            spec.copy(field, pod);
        }
        if let Some(affinity) = spec.make("affinity") {
            affinity.copy("nodeAffinity", pod.or_null("affinity"));
        }
    }
    if let Some(metadata) = template.make("metadata") {
        metadata.copy("labels", wanted.or_null("metadata"));
        metadata.copy("annotations", wanted.or_null("metadata"));
    }
}

fn resources(template: &mut Value, wanted: &Value) {
    let Some(spec) = template.inside("spec") else { return };
    for list in ["containers", "initContainers"] {
        for (container, wanted) in spec.each(list).zip(wanted.or_null("spec").list(list)) {
            if container.text("name") == wanted.text("name") {
                container.copy("resources", wanted);
            }
        }
    }
}
