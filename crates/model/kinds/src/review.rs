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
        let resource_at = at.field("resourceAttributes");
        let path_at = at.field("nonResourceAttributes");
        let (resource, path) = (spec.at("resourceAttributes"), spec.at("nonResourceAttributes"));
        match (resource, path) {
            (Some(_), Some(path)) => {
                errors.invalid(&path_at, path.clone(), "cannot be specified in combination with resourceAttributes");
            }
            (None, None) => errors.invalid(&resource_at, Value::Null, EXACTLY_ONE),
            _ => {}
        }
        for field in ["fieldSelector", "labelSelector"] {
            if let Some(asked) = resource.and_then(|resource| resource.at(field)) {
                selector(asked, &resource_at.field(field), &mut errors);
            }
        }
        if !self.own && spec.text("user").is_empty() && spec.list("groups").is_empty() {
            errors.invalid(&at.field("user"), "", "at least one of user or group must be specified");
        }
        self.metadata(object, &mut errors);
        if self.local {
            let namespace = resource.map_or("", |resource| resource.text("namespace"));
            if resource.is_some() && namespace != object.or_null("metadata").text("namespace") {
                errors.invalid(&resource_at.field("namespace"), namespace, "must match metadata.namespace");
            }
            if let Some(path) = path {
                errors.invalid(&path_at, path.clone(), "disallowed on this kind of request");
            }
        }
        errors.into_vec()
    }
}

impl AccessReview {
    /// Questions have no names and no labels; only those about one namespace say where.
    fn metadata(&self, object: &Value, errors: &mut Errors) {
        let stray = |(field, value): (&String, &Value)| {
            let ignored = field == "managedFields" || self.local && field == "namespace";
            !ignored && !is_zero(value)
        };
        if object.map("metadata").is_some_and(|metadata| metadata.iter().any(stray)) {
            let detail = if self.local { "must be empty except for namespace" } else { "must be empty" };
            errors.invalid(&At::Root.field("metadata"), object.or_null("metadata").clone(), detail);
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
    }
}

/// A selector as text or as requirements. Operators that newer clients know and this server does not are let through.
fn selector(selector: &Value, at: &At<'_>, errors: &mut Errors) {
    let (raw, requirements) = (selector.text("rawSelector"), selector.list("requirements"));
    let requirements_at = at.field("requirements");
    if !raw.is_empty() && !requirements.is_empty() {
        errors.invalid(&at.field("rawSelector"), raw, "may not specified at the same time as requirements");
    }
    if raw.is_empty() && requirements.is_empty() {
        let detail = format!("when {} is specified, requirements or rawSelector is required", at.path());
        errors.required(&requirements_at, &detail);
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let at = requirements_at.index(index);
        let values = requirement.list("values");
        if requirement.text("key").is_empty() {
            errors.required(&at.field("key"), "must be specified");
        }
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&at.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&at.field("values"), detail);
            }
            _ => {}
        }
    }
}
