//! Leases.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::Read;
use crate::strategy::Strategy;

pub(crate) struct Lease;

impl Strategy for Lease {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        check::positive(spec, "leaseDurationSeconds", &at, &mut errors);
        check::nonnegative(spec, "leaseTransitions", &at, &mut errors);
        if spec.text_if("holderIdentity") == Some("") {
            errors.invalid(&at.field("holderIdentity"), "", "must not be empty");
        }
        errors.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}
