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
        check::nonnegative(object, "revision", &At::Root, &mut errors);
        let at = At::Root.field("data");
        match object.at("data") {
            None => errors.required(&at, "data is mandatory"),
            Some(data) if !data.is_object() => errors.required(&at, "data must be a valid JSON object"),
            Some(_) => {}
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::nonnegative(new, "revision", &At::Root, &mut errors);
        check::immutable(new, old, "data", &At::Root, &mut errors);
        errors.into_vec()
    }
}
