//! Priority and fairness of requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

pub(crate) struct FlowSchema;

const PRECEDENCE_MAX: i64 = 10_000;

impl Strategy for FlowSchema {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec")
            && spec.int("matchingPrecedence").unwrap_or(0) == 0
        {
            spec.set("matchingPrecedence", 1000);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let precedence = spec.int("matchingPrecedence").unwrap_or(0);
        let precedence_at = at.field("matchingPrecedence");
        if precedence <= 0 {
            errors.invalid(&precedence_at, precedence, "must be a positive value");
        }
        if precedence > PRECEDENCE_MAX {
            let detail = format!("must not be greater than {PRECEDENCE_MAX}");
            errors.invalid(&precedence_at, precedence, detail);
        }
        if let Some(method) = spec.at("distinguisherMethod") {
            let at = at.field("distinguisherMethod");
            let kind = method.text("type");
            if !matches!(kind, "ByNamespace" | "ByUser") {
                errors.not_supported(&at.field("type"), kind, &["ByNamespace", "ByUser"]);
            }
        }
        let level = spec.or_null("priorityLevelConfiguration");
        check::required(level, "name", &at.field("priorityLevelConfiguration"), &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

pub(crate) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        match spec.text("type") {
            "Limited" => {
                let Some(limited) = spec.make("limited") else { return };
                limited.fill("nominalConcurrencyShares", 30);
                limited.fill("lendablePercent", 0);
                if let Some(queuing) = limited.inside("limitResponse").and_then(|response| {
                    let queues = response.text("type") == "Queue";
                    if queues { response.make("queuing") } else { None }
                }) {
                    for (field, number) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                        if queuing.int(field).unwrap_or(0) == 0 {
                            queuing.set(field, number);
                        }
                    }
                }
            }
            "Exempt" => {
                if let Some(exempt) = spec.make("exempt") {
                    exempt.fill("nominalConcurrencyShares", 0);
                    exempt.fill("lendablePercent", 0);
                }
            }
            _ => {}
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let kind = spec.text("type");
        match kind {
            "Limited" if !spec.has("limited") => {
                errors.required(&at.field("limited"), "must not be empty when type is Limited");
            }
            "Exempt" if spec.has("limited") => {
                errors.forbidden(&at.field("limited"), "must be nil if the type is not Limited");
            }
            "Limited" | "Exempt" => {}
            kind => errors.not_supported(&at.field("type"), kind, &["Exempt", "Limited"]),
        }
        if let Some(limited) = spec.at("limited") {
            let at = at.field("limited");
            check::nonnegative(limited, "nominalConcurrencyShares", &at, &mut errors);
            let response = limited.or_null("limitResponse");
            let at = at.field("limitResponse");
            match response.text("type") {
                "Queue" | "Reject" => {}
                kind => errors.not_supported(&at.field("type"), kind, &["Queue", "Reject"]),
            }
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}
