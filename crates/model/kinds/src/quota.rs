//! ResourceQuotas and LimitRanges.

mod limit_range;

pub(crate) use limit_range::LimitRange;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::resources;
use crate::strategy::Strategy;

pub(crate) struct ResourceQuota;

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];
const CONFLICTS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const ONLY_EXISTS: &str = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

impl Strategy for ResourceQuota {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec") {
            resources::canonicalise_list(spec, "hard");
        }
        if let Some(status) = object.inside("status") {
            resources::canonicalise_list(status, "hard");
            resources::canonicalise_list(status, "used");
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn prepare_for_status_update(&self, new: &mut Value, _old: &Value) {
        self.default(new);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        amounts(spec, "hard", &at, &mut errors);
        scopes(spec, &at, &mut errors);
        if let Some(selector) = spec.at("scopeSelector") {
            scope_selector(spec, selector, &at.field("scopeSelector"), &mut errors);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let sorted = |object: &'_ Value| {
            let mut scopes: Vec<String> = object.or_null("spec").texts("scopes").map(str::to_owned).collect();
            scopes.sort();
            scopes
        };
        if sorted(new) != sorted(old) {
            let mut fixed = Errors::new();
            let at = At::Root.field("spec");
            let scopes = new.or_null("spec").list("scopes").to_vec();
            fixed.invalid(&at.field("scopes"), scopes, "field is immutable");
            errors.extend(fixed.into_vec());
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        for list in ["hard", "used"] {
            amounts(new.or_null("status"), list, &at, &mut errors);
        }
        errors.into_vec()
    }
}

fn amounts(holder: &Value, list: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.field(list);
    for (name, value) in holder.map(list).into_iter().flatten() {
        let at = at.key(name);
        resources::quota_resource_name(name, &at, errors);
        resources::amount(name, value, &at, errors);
    }
}

fn scopes(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("scopes");
    let scopes = spec.list("scopes");
    for scope in spec.texts("scopes") {
        if !SCOPES.contains(&scope) {
            errors.invalid(&at, scopes.to_vec(), "unsupported scope");
        }
        for name in spec.map("hard").into_iter().flat_map(serde_json::Map::keys) {
            if resources::is_standard_quota(name) && !scope_counts(scope, name) {
                errors.invalid(&at, scopes.to_vec(), "unsupported scope applied to resource");
            }
        }
    }
    conflicts(spec, |scope| spec.texts("scopes").any(|other| other == scope), &at, errors);
}

fn conflicts(spec: &Value, has: impl Fn(&str) -> bool, at: &At<'_>, errors: &mut Errors) {
    for [one, other] in CONFLICTS {
        if has(one) && has(other) {
            errors.invalid(at, spec.list("scopes").to_vec(), "conflicting scopes");
        }
    }
}

/// Whether pods of that scope use that resource.
fn scope_counts(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => {
            matches!(
                resource,
                "cpu"
                    | "memory"
                    | "ephemeral-storage"
                    | "pods"
                    | "requests.cpu"
                    | "requests.memory"
                    | "requests.ephemeral-storage"
                    | "limits.cpu"
                    | "limits.memory"
                    | "limits.ephemeral-storage"
            ) || resource.contains("hugepages-")
        }
    }
}

fn scope_selector(spec: &Value, selector: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("matchExpressions");
    let expressions = selector.list("matchExpressions");
    for expression in expressions {
        let (scope, operator) = (expression.text("scopeName"), expression.text("operator"));
        if !SCOPES.contains(&scope) {
            errors.invalid(&at.field("scopeName"), scope, "unsupported scope");
        }
        for name in spec.map("hard").into_iter().flat_map(serde_json::Map::keys) {
            if resources::is_standard_quota(name) && !scope_counts(scope, name) {
                errors.invalid(&at, selector.clone(), "unsupported scope applied to resource");
            }
        }
        let by_value = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && !by_value && operator != "Exists" {
            errors.invalid(&at.field("operator"), operator, ONLY_EXISTS);
        }
        let values = expression.list("values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&at.field("values"), detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&at.field("values"), values.to_vec(), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => errors.invalid(&at.field("operator"), operator, "not a valid selector operator"),
        }
    }
    let has = |scope: &str| expressions.iter().any(|expression| expression.text("scopeName") == scope);
    conflicts(spec, has, &at, errors);
}
