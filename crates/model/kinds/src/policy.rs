//! PodDisruptionBudgets and PriorityClasses.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::conditions;
use crate::error::{Errors, FieldError};
use crate::int_or_percent;
use crate::metadata::label_selector;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

pub(crate) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        let status = json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        object.set("status", status);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            errors.invalid(&at, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            if let Some(value) = spec.at(field) {
                let at = at.field(field);
                int_or_percent::validate(value, &at, &mut errors);
                int_or_percent::at_most_all(value, &at, &mut errors);
            }
        }
        if let Some(selector) = spec.at("selector") {
            label_selector(selector, &at.field("selector"), &mut errors);
        }
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        check::one_of_if(spec, "unhealthyPodEvictionPolicy", &policies, &at, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        conditions::validate(new.or_null("status"), &at, &mut errors);
        for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            check::nonnegative(new.or_null("status"), field, &at, &mut errors);
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

pub(crate) struct PriorityClass;

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
const SYSTEM_CRITICAL: i64 = 2 * USER_PRIORITY_MAX;

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Value) {
        object.fill("preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let name = object.or_null("metadata").text("name");
        let value = object.int("value").unwrap_or(0);
        if name.starts_with("system-") {
            system(object, name, value, &mut errors);
        } else if value > USER_PRIORITY_MAX {
            let detail = format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
            errors.forbidden(&At::Root.field("value"), detail);
        }
        if object.has("preemptionPolicy") {
            let policies = ["PreemptLowerPriority", "Never"];
            check::one_of(object, "preemptionPolicy", &policies, &At::Root, &mut errors);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if new.int("value").unwrap_or(0) != old.int("value").unwrap_or(0) {
            errors.forbidden(&At::Root.field("value"), "may not be changed in an update.");
        }
        if !same(new.at("preemptionPolicy"), old.at("preemptionPolicy")) {
            let policy = new.or_null("preemptionPolicy").clone();
            errors.invalid(&At::Root.field("preemptionPolicy"), policy, check::IMMUTABLE);
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// The two classes that the system itself has.
fn system(object: &Value, name: &str, value: i64, errors: &mut Errors) {
    let expected = match name {
        "system-cluster-critical" => Some(SYSTEM_CRITICAL),
        "system-node-critical" => Some(SYSTEM_CRITICAL + 1000),
        _ => None,
    };
    let error = match expected {
        None => format!("{name} is not a known system priority class"),
        Some(expected) if expected != value => format!("value of {name} PriorityClass must be {expected}"),
        Some(_) if object.is("globalDefault") => format!("globalDefault of {name} PriorityClass must be false"),
        Some(_) => return,
    };
    let at = At::Root.field("metadata");
    let detail = format!("priority class names with 'system-' prefix are reserved for system use only. error: {error}");
    errors.forbidden(&at.field("name"), detail);
}
