//! DaemonSets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{collisions, counts};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::int_or_percent;
use crate::metadata;
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::selector::Selector;
use crate::strategy::Strategy;
use crate::warnings;

pub(crate) struct DaemonSet;

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("revisionHistoryLimit", 10);
        if let Some(strategy) = spec.make("updateStrategy") {
            strategy.fill_text("type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.make("rollingUpdate")
            {
                rolling.fill("maxUnavailable", 1);
                rolling.fill("maxSurge", 0);
            }
        }
        defaults::template(spec);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        let status = json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        });
        object.set("status", status);
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
        let counters = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        counts(new.or_null("status"), &counters, "", &[], "", &mut errors);
        collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::controller(new, old, false).into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let selector_at = at.field("selector");
    if let Some(selector) = spec.at("selector") {
        metadata::label_selector(selector, &selector_at, errors);
    }
    let template = spec.or_null("template");
    let template_at = at.field("template");
    let selector = Selector::of(spec);
    let selects = selector.accepts(template);
    if spec.at("selector").is_some_and(metadata::selects_everything) {
        let value = spec.or_null("selector").clone();
        errors.invalid(&selector_at, value, "empty selector is invalid for daemonset");
    }
    let owner = template::Owner { kind: "DaemonSet", selects };
    template::validate_running(template, &owner, &template_at, errors);
    check::nonnegative(spec, "minReadySeconds", at, errors);
    strategy(spec.or_null("updateStrategy"), &at.field("updateStrategy"), errors);
    check::nonnegative(spec, "revisionHistoryLimit", at, errors);
}

fn strategy(strategy: &Value, at: &At<'_>, errors: &mut Errors) {
    let rolling_at = at.field("rollingUpdate");
    match (strategy.text("type"), strategy.at("rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.required(&rolling_at, ""),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.or_null("maxUnavailable"), rolling.or_null("maxSurge"));
            let (unavailable_at, surge_at) = (rolling_at.field("maxUnavailable"), rolling_at.field("maxSurge"));
            int_or_percent::validate(unavailable, &unavailable_at, errors);
            int_or_percent::at_most_all(unavailable, &unavailable_at, errors);
            int_or_percent::validate(surge, &surge_at, errors);
            int_or_percent::at_most_all(surge, &surge_at, errors);
            match (int_or_percent::amount(unavailable) != 0, int_or_percent::amount(surge) != 0) {
                (true, true) => {
                    errors.invalid(&surge_at, surge.clone(), "may not be set when maxUnavailable is non-zero");
                }
                (false, false) => {
                    errors.required(&unavailable_at, "cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        _ => errors.not_supported(at, strategy.clone(), &["RollingUpdate", "OnDelete"]),
    }
}
