//! PodTemplates as objects of their own.

use serde_json::Value;

use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::Read;
use crate::strategy::Strategy;
use crate::warnings::{Warnings, changes};

pub(crate) struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Value) {
        defaults::template(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        template::validate(object.or_null("template"), &At::Root.field("template"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        if changes(new, old) {
            crate::pod::warnings::template(new.or_null("template"), &At::Root.field("template"), &mut warnings);
        }
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}
