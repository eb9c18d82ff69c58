//! Events: two APIs, one set of objects. What is stored is the core group's `Event`.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

/// The names under which the two APIs know the same field: core, `events.k8s.io`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Rewrites an event for the core group (`v1`) or for `events.k8s.io/v1`.
pub(crate) fn convert(event: &mut Value, api_version: &str) {
    for (core, events) in RENAMED {
        let (from, to) = if api_version == "v1" { (events, core) } else { (core, events) };
        if let Some(value) = event.remove(from) {
            event.set(to, value);
        }
    }
}

/// Events of the core group: nearly anything goes.
pub(crate) struct CoreEvent;

impl Strategy for CoreEvent {
    fn default(&self, object: &mut Value) {
        object.fill("source", serde_json::json!({}));
        object.fill("involvedObject", serde_json::json!({}));
        for field in ["reportingComponent", "reportingInstance"] {
            object.fill(field, "");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        namespaces(object, "involvedObject", &mut errors);
        errors.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// Events of `events.k8s.io`, which is strict; in the form that is stored.
pub(crate) struct NewEvent;

const ACTION_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 128;
const NOTE_BYTES_MAX: usize = 1024;
const INSTANCE_BYTES_MAX: usize = 128;

impl Strategy for NewEvent {
    fn default(&self, object: &mut Value) {
        CoreEvent.default(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        namespaces(object, "involvedObject", &mut errors);
        if !object.has("eventTime") {
            errors.required(&At::Root.field("eventTime"), "");
        }
        if let Some(series) = object.at("series") {
            let at = At::Root.field("series");
            if series.int("count").unwrap_or(0) < 2 {
                errors.invalid(&at.field("count"), series.int("count").unwrap_or(0), "should be at least 2");
            }
            if !series.has("lastObservedTime") {
                errors.required(&at.field("lastObservedTime"), "");
            }
        }
        match object.text("reportingComponent") {
            "" => errors.required(&At::Root.field("reportingController"), ""),
            controller => {
                let at = At::Root.field("reportingController");
                errors.each_invalid(&at, controller, names::qualified_name(controller));
            }
        }
        bounded(object, "reportingInstance", INSTANCE_BYTES_MAX, &mut errors);
        bounded(object, "action", ACTION_BYTES_MAX, &mut errors);
        bounded(object, "reason", REASON_BYTES_MAX, &mut errors);
        if object.text("message").len() > NOTE_BYTES_MAX {
            errors.invalid(&At::Root.field("message"), "", format!("can have at most {NOTE_BYTES_MAX} characters"));
        }
        let kind = object.text("type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.invalid(&At::Root.field("type"), "", "has invalid value: ".to_owned() + kind);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for field in
            ["involvedObject", "reason", "reportingComponent", "reportingInstance", "action", "type", "message"]
        {
            check::immutable(new, old, field, &At::Root, &mut errors);
        }
        errors.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn bounded(event: &Value, field: &str, bytes_max: usize, errors: &mut Errors) {
    match event.text(field) {
        "" => errors.required(&At::Root.field(field), ""),
        text if text.len() > bytes_max => {
            errors.invalid(&At::Root.field(field), "", format!("can have at most {bytes_max} characters"));
        }
        _ => {}
    }
}

/// An event lives where its object lives; events about objects without a namespace live in `default`.
fn namespaces(event: &Value, field: &str, errors: &mut Errors) {
    let own = event.or_null("metadata").text("namespace");
    let involved = event.or_null(field).text("namespace");
    let agree = if involved.is_empty() { matches!(own, "" | "default" | "kube-system") } else { own == involved };
    if !agree {
        let at = At::Root.field(field);
        errors.invalid(&at.field("namespace"), involved, "does not match event.namespace");
    }
}
