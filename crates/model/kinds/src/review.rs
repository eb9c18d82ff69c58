//! Questions that are answered at once: may this be done, who is this.

use serde_json::Value;

use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::Read;
use crate::strategy::Strategy;

/// Whether somebody, or the asker, may do something.
pub(crate) struct AccessReview {
    /// The asker asks for himself.
    pub(crate) own: bool,
    /// The question is about one namespace.
    pub(crate) local: bool,
}

const EXACTLY_ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

impl Strategy for AccessReview {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let other_at = at.field("resourceAttributes");
        match (spec.has("resourceAttributes"), spec.has("nonResourceAttributes")) {
            (true, true) => {
                let at = at.field("nonResourceAttributes");
                let detail = "cannot be specified in combination with resourceAttributes";
                errors.invalid(&at, spec.or_null("nonResourceAttributes").clone(), detail);
            }
            (false, false) => errors.invalid(&other_at, Value::Null, EXACTLY_ONE),
            _ => {}
        }
        if !self.own && spec.text("user").is_empty() && spec.list("groups").is_empty() {
            errors.invalid(&at.field("user"), "", "at least one of user or group must be specified");
        }
        if self.local {
            let namespace = spec.or_null("resourceAttributes").text("namespace");
            let own = object.or_null("metadata").text("namespace");
            if namespace != own {
                let detail = "must match metadata.namespace";
                errors.invalid(&other_at.field("namespace"), namespace, detail);
            }
            if spec.has("nonResourceAttributes") {
                let detail = "disallowed on this kind of request";
                let value = spec.or_null("nonResourceAttributes").clone();
                errors.invalid(&at.field("nonResourceAttributes"), value, detail);
            }
        }
        errors.into_vec()
    }
}
