//! Namespaces.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::declaration::Subresource;
use crate::error::{Errors, FieldError};
use crate::metadata::builtin_finalizer;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

pub(crate) struct Namespace;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        name_label(object);
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        name_label(object);
        object.set("status", json!({"phase": "Active"}));
        if let Some(spec) = object.make("spec") {
            let mut finalizers = spec.list("finalizers").to_vec();
            if !finalizers.iter().any(|finalizer| finalizer.as_str() == Some(FINALIZER)) {
                finalizers.push(FINALIZER.into());
            }
            spec.set("finalizers", finalizers);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        // Its own finalizers have a URL of their own.
        if let Some(spec) = new.make("spec") {
            spec.copy("finalizers", old.or_null("spec"));
        }
    }

    fn prepare_for_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        if subresource == Subresource::Finalize {
            new.copy("status", old);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        finalizers(object, &at.field("finalizers"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let deleting = new.or_null("metadata").has("deletionTimestamp");
        let phase = new.or_null("status").text("phase");
        let at = At::Root.field("status");
        match (deleting, phase) {
            (false, "Active") | (true, "Terminating") => {}
            (false, phase) => {
                let detail = "may only be 'Active' if `deletionTimestamp` is empty";
                errors.invalid(&at.field("Phase"), phase, detail);
            }
            (true, phase) => {
                let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
                errors.invalid(&at.field("Phase"), phase, detail);
            }
        }
        errors.into_vec()
    }

    fn validate_subresource_update(&self, _subresource: Subresource, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }
}

/// Every namespace can be selected by its name.
fn name_label(object: &mut Value) {
    let name = object.or_null("metadata").text("name").to_owned();
    if !name.is_empty()
        && let Some(labels) = object.make("metadata").and_then(|metadata| metadata.make("labels"))
    {
        labels.set(NAME_LABEL, name);
    }
}

fn finalizers(object: &Value, at: &At<'_>, errors: &mut Errors) {
    for finalizer in object.or_null("spec").texts("finalizers") {
        errors.each_invalid(at, finalizer, names::qualified_name(finalizer));
        builtin_finalizer(finalizer, at, errors);
    }
}
