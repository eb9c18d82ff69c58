//! StorageClasses and VolumeAttributesClasses.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;
use crate::strategy::Strategy;
use crate::warnings::{Warnings, node_expressions};

pub(crate) struct StorageClass;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        object.fill("reclaimPolicy", "Delete");
        object.fill("volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        provisioner(object, "provisioner", &mut errors);
        parameters(object, true, &mut errors);
        check::one_of_if(object, "reclaimPolicy", &["Delete", "Retain"], &At::Root, &mut errors);
        let modes = ["Immediate", "WaitForFirstConsumer"];
        check::one_of(object, "volumeBindingMode", &modes, &At::Root, &mut errors);
        topologies(object, &At::Root.field("allowedTopologies"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let at = At::Root.field("allowedTopologies");
        for (index, term) in new.list("allowedTopologies").iter().enumerate() {
            node_expressions(term, "matchLabelExpressions", &at.index(index), &mut warnings);
        }
        warnings.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if !same(new.at(field), old.at(field)) {
                errors.forbidden(&At::Root.field(field), format!("updates to {field} are forbidden."));
            }
        }
        check::immutable(new, old, "volumeBindingMode", &At::Root, &mut errors);
        errors.into_vec()
    }
}

fn provisioner(object: &Value, field: &str, errors: &mut Errors) {
    let at = At::Root.field(field);
    match object.text(field) {
        "" => errors.required(&at, ""),
        name => errors.each_invalid(&at, name, names::qualified_name(&name.to_lowercase())),
    }
}

fn parameters(object: &Value, may_be_empty: bool, errors: &mut Errors) {
    let at = At::Root.field("parameters");
    let parameters = object.map("parameters");
    if parameters.is_none_or(serde_json::Map::is_empty) {
        if !may_be_empty {
            errors.required(&at, "must contain at least one key/value pair");
        }
        return;
    }
    let mut bytes = 0;
    let mut count = 0;
    for (key, value) in object.strings("parameters") {
        if key.is_empty() {
            errors.invalid(&at, key, "field can not be empty.");
        }
        bytes += key.len() + value.len();
        count += 1;
    }
    if count > PARAMETERS_MAX {
        errors.too_long(&at, PARAMETERS_MAX);
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.too_long(&at, PARAMETERS_BYTES_MAX);
    }
}

fn topologies(object: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, term) in object.list("allowedTopologies").iter().enumerate() {
        let at = at.index(index);
        let at = at.field("matchLabelExpressions");
        let expressions = term.list("matchLabelExpressions");
        let mut keys = Seen::new();
        for (index, expression) in expressions.iter().enumerate() {
            let at = at.index(index);
            let values = expression.list("values");
            let values_at = at.field("values");
            if values.is_empty() {
                errors.required(&values_at, "");
            }
            let mut seen = Seen::new();
            for (index, value) in values.iter().enumerate() {
                if seen.again(value) {
                    errors.duplicate(&values_at.index(index), value.clone());
                }
            }
            let key = expression.text("key");
            errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
            if keys.again(key) {
                errors.duplicate(&at.field("key"), key);
            }
        }
    }
}

pub(crate) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        provisioner(object, "driverName", &mut errors);
        parameters(object, false, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for field in ["driverName", "parameters"] {
            if !same(new.at(field), old.at(field)) {
                errors.forbidden(&At::Root.field(field), format!("updates to {field} are forbidden."));
            }
        }
        errors.into_vec()
    }
}
