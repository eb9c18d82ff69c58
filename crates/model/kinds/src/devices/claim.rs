//! The spec of a claim: requests for devices, what must hold between them, what drivers are told.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CONFIG_MAX, at_most, configuration, label, request_name, request_names, selectors, texts, unique};
use crate::check;
use crate::device_names::fully_qualified;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};

const REQUESTS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;
pub(super) const EFFECTS: [&str; 2] = ["NoExecute", "NoSchedule"];

/// One device unless told otherwise.
pub(super) fn default(spec: &mut Value) {
    let fill = |request: &mut Value| {
        request.fill_text("allocationMode", "ExactCount");
        if request.text("allocationMode") == "ExactCount" && request.int("count").unwrap_or(0) == 0 {
            request.set("count", 1);
        }
        for toleration in request.each("tolerations") {
            toleration.fill_text("operator", "Equal");
        }
    };
    let Some(devices) = spec.inside("devices") else { return };
    for request in devices.each("requests") {
        if let Some(exactly) = request.inside("exactly") {
            fill(exactly);
        }
        request.each("firstAvailable").for_each(fill);
    }
}

/// Checks the spec of a claim.
pub(super) fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let known = request_names(spec);
    let devices = spec.or_null("devices");
    let at = at.field("devices");
    let requests_at = at.field("requests");
    for (index, request) in devices.list("requests").iter().enumerate() {
        self::request(request, &requests_at.index(index), errors);
    }
    at_most(devices, "requests", REQUESTS_MAX, &at, errors);
    unique(devices, "requests", "name", &at, errors);
    let constraints_at = at.field("constraints");
    for (index, constraint) in devices.list("constraints").iter().enumerate() {
        self::constraint(constraint, &known, &constraints_at.index(index), errors);
    }
    at_most(devices, "constraints", CONSTRAINTS_MAX, &at, errors);
    let config_at = at.field("config");
    for (index, config) in devices.list("config").iter().enumerate() {
        let at = config_at.index(index);
        requests(config, &known, &at, errors);
        configuration(config, &at, errors);
    }
    at_most(devices, "config", CONFIG_MAX, &at, errors);
}

/// The list `requests` of a constraint or a configuration: what it is about.
pub(super) fn requests(holder: &Value, known: &BTreeSet<String>, at: &At<'_>, errors: &mut Errors) {
    texts(holder, "requests", REQUESTS_MAX, at, errors, &mut |name, at, errors| {
        request_name(name, known, at, errors);
    });
}

fn request(request: &Value, at: &At<'_>, errors: &mut Errors) {
    label(request, "name", at, errors);
    let alternatives = request.list("firstAvailable");
    let list_at = at.field("firstAvailable");
    for (index, alternative) in alternatives.iter().enumerate() {
        let at = list_at.index(index);
        label(alternative, "name", &at, errors);
        exact(alternative, &at, errors);
    }
    at_most(request, "firstAvailable", ALTERNATIVES_MAX, at, errors);
    unique(request, "firstAvailable", "name", at, errors);
    if let Some(exactly) = request.at("exactly") {
        exact(exactly, &at.field("exactly"), errors);
    }
    match (request.has("exactly"), !alternatives.is_empty()) {
        (false, false) => errors.required(at, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.invalid(at, Value::Null, detail);
        }
        _ => {}
    }
}

fn exact(request: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required_named(request, "deviceClassName", names::dns_subdomain, at, errors);
    selectors(request, at, errors);
    let count = request.int("count").unwrap_or(0);
    match request.text("allocationMode") {
        "All" if count != 0 => {
            errors.invalid(&at.field("count"), count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => errors.invalid(&at.field("count"), count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        mode => errors.not_supported(&at.field("allocationMode"), mode, &["All", "ExactCount"]),
    }
    let at = at.field("tolerations");
    for (index, toleration) in request.list("tolerations").iter().enumerate() {
        self::toleration(toleration, &at.index(index), errors);
    }
}

fn toleration(toleration: &Value, at: &At<'_>, errors: &mut Errors) {
    check::named(toleration, "key", names::qualified_name, at, errors);
    let value = toleration.text("value");
    match toleration.text("operator") {
        "Exists" if !value.is_empty() => {
            errors.invalid(&at.field("value"), value, "must be empty for operator `Exists`");
        }
        "Exists" => {}
        "Equal" => errors.each_invalid(&at.field("value"), value, names::label_value(value)),
        "" => errors.required(&at.field("operator"), ""),
        operator => errors.not_supported(&at.field("operator"), operator, &["Equal", "Exists"]),
    }
    let effect = toleration.text("effect");
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.not_supported(&at.field("effect"), effect, &EFFECTS);
    }
}

fn constraint(constraint: &Value, known: &BTreeSet<String>, at: &At<'_>, errors: &mut Errors) {
    requests(constraint, known, at, errors);
    match (constraint.text_if("matchAttribute"), constraint.text_if("distinctAttribute")) {
        (Some(name), _) => fully_qualified(name, &at.field("matchAttribute"), errors),
        (None, Some(name)) => fully_qualified(name, &at.field("distinctAttribute"), errors),
        (None, None) => {
            let detail =
                "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            errors.required(at, detail);
        }
    }
}
