//! What webhooks and policies are about: operations on resources.

use serde_json::{Value, json};

use crate::check;
use crate::error::Errors;
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::seen::Seen;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// Fills in what `matchConstraints` and `matchResources` leave out.
pub(super) fn default_match(constraints: &mut Value) {
    constraints.fill("matchPolicy", "Equivalent");
    constraints.fill("namespaceSelector", json!({}));
    constraints.fill("objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in constraints.each(list) {
            rule.fill("scope", "*");
        }
    }
}

/// Checks `matchConstraints` or `matchResources`.
pub(super) fn match_resources(constraints: &Value, at: &At<'_>, errors: &mut Errors) {
    if constraints.has("matchPolicy") {
        check::one_of_if(constraints, "matchPolicy", &["Equivalent", "Exact"], at, errors);
    } else {
        errors.required(&at.field("matchPolicy"), "");
    }
    // The reference calls the second by another name than the API.
    for (field, shown) in [("namespaceSelector", "namespaceSelector"), ("objectSelector", "labelSelector")] {
        match constraints.at(field) {
            None => errors.required(&at.field(shown), ""),
            Some(selector) => label_selector(selector, &at.field(shown), errors),
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        let list_at = at.field(list);
        for (index, rule) in constraints.list(list).iter().enumerate() {
            let at = list_at.index(index);
            let names_at = at.field("resourceNames");
            let names: Vec<&str> = rule.texts("resourceNames").collect();
            let mut seen = Seen::new();
            for (index, name) in names.iter().enumerate() {
                errors.each_invalid(&names_at.index(index), name, names::path_segment(name));
                if seen.again(name) {
                    errors.duplicate(&names_at.index(index), *name);
                }
            }
            validate(rule, &at, errors);
        }
    }
}

/// Checks `{operations, apiGroups, apiVersions, resources, scope}`.
pub(super) fn validate(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    for (field, words) in [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let at = at.field(field);
        let values: Vec<&str> = rule.texts(field).collect();
        if values.is_empty() {
            errors.required(&at, "");
        }
        if values.len() > 1 && values.contains(&"*") {
            let detail = format!("if '*' is present, must not specify other {words}");
            errors.invalid(&at, rule.list(field).to_vec(), detail);
        }
        for (index, value) in values.iter().enumerate() {
            if field == "operations" && !OPERATIONS.contains(value) {
                errors.not_supported(&at.index(index), *value, &OPERATIONS);
            }
            if field == "apiVersions" && value.is_empty() {
                errors.required(&at.index(index), "");
            }
        }
    }
    resources(rule, &at.field("resources"), errors);
    check::one_of_if(rule, "scope", &["*", "Cluster", "Namespaced"], at, errors);
}

/// `pods`, `pods/*`, `*/scale`, `*/*`: none that another one covers.
fn resources(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let resources: Vec<&str> = rule.texts("resources").collect();
    if resources.is_empty() {
        errors.required(at, "");
    }
    let mut whole = false;
    let mut before = Seen::new();
    for (index, resource) in resources.iter().enumerate() {
        let at = at.index(index);
        if resource.is_empty() {
            errors.required(&at, "");
            continue;
        }
        let Some((name, part)) = resource.split_once('/') else {
            // The last one without a subresource decides, as in the reference.
            whole = *resource != "*";
            continue;
        };
        for (wider, place) in [(format!("{name}/*"), (name, "*")), (format!("*/{part}"), ("*", part))] {
            if before.has(place) {
                let detail = format!("if '{wider}' is present, must not specify {resource}");
                errors.invalid(&at, *resource, detail);
            }
        }
        before.again((name, part));
    }
    let all = || rule.list("resources").to_vec();
    if resources.len() > 1 && resources.contains(&"*/*") {
        errors.invalid(at, all(), "if '*/*' is present, must not specify other resources");
    }
    if resources.contains(&"*") && whole {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.invalid(at, all(), detail);
    }
}
