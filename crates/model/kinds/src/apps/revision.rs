//! ControllerRevisions: snapshots of a controller's state that never change.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::Read;
use crate::strategy::Strategy;

pub(crate) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if !object.has("data") {
            errors.required(&At::Root.field("data"), "data is mandatory");
        }
        check::nonnegative(object, "revision", &At::Root, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::immutable(new, old, "data", &At::Root, &mut errors);
        let mut errors = errors.into_vec();
        errors.extend(self.validate(new));
        errors
    }
}
