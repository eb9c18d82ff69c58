//! ReplicationControllers: ReplicaSets of the first hour, whose selector is a plain map.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::counts;
use super::replica_set::{COUNTERS, PARTS};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::strategy::Strategy;
use crate::warnings;

pub(crate) struct ReplicationController;

impl Strategy for ReplicationController {
    fn orphans_dependents(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        let labels = spec.or_null("template").or_null("metadata").or_null("labels").clone();
        if !labels.is_null() && spec.map("selector").is_none_or(serde_json::Map::is_empty) {
            spec.set("selector", labels.clone());
        }
        spec.fill("replicas", 1);
        defaults::template(spec);
        if let Some(metadata) = object.make("metadata")
            && !labels.is_null()
            && metadata.map("labels").is_none_or(serde_json::Map::is_empty)
        {
            metadata.set("labels", labels);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        check::nonnegative(spec, "minReadySeconds", &at, &mut errors);
        let selector = spec.map("selector").filter(|selector| !selector.is_empty());
        if selector.is_none() {
            errors.required(&at.field("selector"), "");
        }
        check::nonnegative(spec, "replicas", &at, &mut errors);
        match spec.at("template") {
            None => errors.required(&at.field("template"), ""),
            Some(template) => {
                let labels = template.or_null("metadata").or_null("labels");
                let selects = selector.is_none_or(|selector| check::labels_match(selector, labels));
                let owner = template::Owner { kind: "ReplicationController", selects };
                template::validate_running(template, &owner, &at.field("template"), &mut errors);
            }
        }
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
