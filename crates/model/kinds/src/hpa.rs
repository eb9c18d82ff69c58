//! Horizontal pod autoscalers.

mod convert;
mod rules;

pub(crate) use convert::convert;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::resources;
use crate::strategy::Strategy;

pub(crate) struct HorizontalPodAutoscaler;

/// The CPU utilisation that is aimed at when no metric is named.
const CPU_PERCENT: i64 = 80;

impl Strategy for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("minReplicas", 1);
        if spec.list("metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": CPU_PERCENT});
            spec.set("metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
        }
        for metric in spec.each("metrics") {
            for source in ["resource", "containerResource", "pods", "object", "external"] {
                if let Some(target) = metric.inside(source).and_then(|source| source.inside("target")) {
                    resources::canonicalise(target, "value");
                    resources::canonicalise(target, "averageValue");
                }
            }
        }
        if let Some(behavior) = spec.inside("behavior") {
            default_behavior(behavior);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"desiredReplicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        rules::validate(object.or_null("spec"), None, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        rules::validate(new.or_null("spec"), old.at("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        for field in ["currentReplicas", "desiredReplicas"] {
            check::nonnegative(new.or_null("status"), field, &at, &mut errors);
        }
        errors.into_vec()
    }
}

/// Fills in how fast replicas come and go.
fn default_behavior(behavior: &mut Value) {
    if let Some(up) = behavior.make("scaleUp") {
        up.fill("stabilizationWindowSeconds", 0);
        up.fill("selectPolicy", "Max");
        if up.list("policies").is_empty() {
            let policies = json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]);
            up.set("policies", policies);
        }
    }
    if let Some(down) = behavior.make("scaleDown") {
        down.fill("selectPolicy", "Max");
        if down.list("policies").is_empty() {
            down.set("policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
        }
    }
}
