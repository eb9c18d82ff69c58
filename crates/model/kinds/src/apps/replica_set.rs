//! ReplicaSets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::counts;
use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::selector::{self, Selector};
use crate::strategy::Strategy;
use crate::warnings;

pub(crate) struct ReplicaSet;

/// The counters in the status of ReplicaSets and ReplicationControllers.
pub(super) const COUNTERS: [&str; 6] = [
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    "terminatingReplicas",
];
pub(super) const PARTS: [&str; 3] = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("replicas", 1);
        defaults::template(spec);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(object.or_null("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        spec(new.or_null("spec"), &at, &mut errors);
        check::immutable(new.or_null("spec"), old.or_null("spec"), "selector", &at, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        counts(new.or_null("status"), &COUNTERS, "replicas", &PARTS, "readyReplicas", &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::controller(new, old, true).into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    check::nonnegative(spec, "replicas", at, errors);
    check::nonnegative(spec, "minReadySeconds", at, errors);
    selector::validate(spec, "empty selector is invalid for deployment", at, errors);
    let selector = Selector::of(spec);
    if matches!(selector, Selector::Malformed) {
        errors.invalid(&at.field("selector"), spec.or_null("selector").clone(), "invalid label selector");
        return;
    }
    let template = spec.or_null("template");
    let owner = template::Owner { kind: "ReplicaSet", selects: selector.accepts(template) };
    template::validate_running(template, &owner, &at.field("template"), errors);
}
