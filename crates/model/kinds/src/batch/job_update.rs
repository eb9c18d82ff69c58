//! What may change in a Job that exists.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::{same, same_value};

pub(super) fn validate(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
    completions(new_spec, old_spec, at, errors);
    check::immutable(new_spec, old_spec, "selector", at, errors);
    template(new_spec, old_spec, old, at, errors);
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
    if new.text("completionMode") != "Indexed" || !new.has("completions") || !old.has("completions") {
        errors.invalid(&at, value, check::IMMUTABLE);
    } else if new.int("completions") != new.int("parallelism") {
        let detail = "can only be modified in tandem with parallelism";
        errors.invalid(&at, value, detail);
    }
}

/// The template is fixed. While a suspended Job has not begun, it may still be told where to run.
fn template(new: &Value, old: &Value, old_job: &Value, at: &At<'_>, errors: &mut Errors) {
    const SCHEDULING: [&str; 4] = ["nodeSelector", "affinity", "tolerations", "schedulingGates"];
    let mut template = old.or_null("template").clone();
    let suspended = old.is("suspend") && !old_job.or_null("status").has("startTime");
    if suspended {
        let wanted = new.or_null("template");
        if let Some(spec) = template.inside("spec") {
            for field in SCHEDULING {
                spec.copy(field, wanted.or_null("spec"));
            }
        }
        if let Some(metadata) = template.make("metadata") {
            metadata.copy("labels", wanted.or_null("metadata"));
            metadata.copy("annotations", wanted.or_null("metadata"));
        }
    }
    if !same_value(new.or_null("template"), &template) {
        errors.invalid(&at.field("template"), new.or_null("template").clone(), check::IMMUTABLE);
    }
}
