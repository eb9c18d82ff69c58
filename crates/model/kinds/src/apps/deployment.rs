//! Deployments.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{collisions, counts};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::int_or_percent;
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::same::same;
use crate::selector::{self, Selector};
use crate::strategy::Strategy;
use crate::warnings;

pub(crate) struct Deployment;

const STRATEGIES: [&str; 2] = ["Recreate", "RollingUpdate"];

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("replicas", 1);
        spec.fill("revisionHistoryLimit", 10);
        spec.fill("progressDeadlineSeconds", 600);
        if let Some(strategy) = spec.make("strategy") {
            strategy.fill_text("type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.make("rollingUpdate")
            {
                rolling.fill("maxUnavailable", "25%");
                rolling.fill("maxSurge", "25%");
            }
        }
        defaults::template(spec);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        if let Some(metadata) = new.make("metadata") {
            metadata.copy("labels", old.or_null("metadata"));
        }
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

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        counts(
            new.or_null("status"),
            &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            "replicas",
            &["updatedReplicas", "readyReplicas", "availableReplicas"],
            "readyReplicas",
            &mut errors,
        );
        collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::controller(new, old, true).into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        // Annotations too: a Deployment hands them on to its ReplicaSets.
        let annotations = |object: &'_ Value| object.or_null("metadata").or_null("annotations").clone();
        !same(new.at("spec"), old.at("spec")) || !same(Some(&annotations(new)), Some(&annotations(old)))
    }
}

fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    check::nonnegative(spec, "replicas", at, errors);
    selector::validate(spec, "empty selector is invalid for deployment", at, errors);
    let selector = Selector::of(spec);
    if matches!(selector, Selector::Malformed) {
        errors.invalid(&at.field("selector"), spec.or_null("selector").clone(), "invalid label selector");
    } else {
        let template = spec.or_null("template");
        let owner = template::Owner { kind: "ReplicaSet", selects: selector.accepts(template) };
        template::validate_running(template, &owner, &at.field("template"), errors);
    }
    strategy(spec.or_null("strategy"), &at.field("strategy"), errors);
    check::nonnegative(spec, "minReadySeconds", at, errors);
    check::nonnegative(spec, "revisionHistoryLimit", at, errors);
    if let Some(deadline) = spec.int("progressDeadlineSeconds") {
        check::nonnegative(spec, "progressDeadlineSeconds", at, errors);
        if deadline <= spec.int("minReadySeconds").unwrap_or(0) {
            errors.invalid(&at.field("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
        }
    }
}

fn strategy(strategy: &Value, at: &At<'_>, errors: &mut Errors) {
    let rolling_at = at.field("rollingUpdate");
    match (strategy.text("type"), strategy.at("rollingUpdate")) {
        ("Recreate", Some(_)) => {
            errors.forbidden(&rolling_at, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => errors.required(&rolling_at, "this should be defaulted and never be nil"),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.or_null("maxUnavailable"), rolling.or_null("maxSurge"));
            let unavailable_at = rolling_at.field("maxUnavailable");
            int_or_percent::validate(unavailable, &unavailable_at, errors);
            int_or_percent::validate(surge, &rolling_at.field("maxSurge"), errors);
            if int_or_percent::amount(unavailable) == 0 && int_or_percent::amount(surge) == 0 {
                errors.invalid(&unavailable_at, unavailable.clone(), "may not be 0 when `maxSurge` is 0");
            }
            int_or_percent::at_most_all(unavailable, &unavailable_at, errors);
        }
        _ => errors.not_supported(at, strategy.clone(), &STRATEGIES),
    }
}
