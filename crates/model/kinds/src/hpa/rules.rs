//! The rules of autoscalers, in version 2.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::resources;

const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

/// Checks the spec of an autoscaler, new or changed from `old`.
pub(super) fn validate(spec: &Value, old: Option<&Value>, at: &At<'_>, errors: &mut Errors) {
    let (min, max) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    // To none at all only what was allowed to before.
    let least = if old.and_then(|old| old.int("minReplicas")) == Some(0) { 0 } else { 1 };
    if let Some(min) = min.filter(|min| *min < least) {
        errors.invalid(&at.field("minReplicas"), min, format!("must be greater than or equal to {least}"));
    }
    if max < 1 {
        errors.invalid(&at.field("maxReplicas"), max, "must be greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(&at.field("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    reference(spec.or_null("scaleTargetRef"), &at.field("scaleTargetRef"), errors);
    let metrics_at = at.field("metrics");
    for (index, metric) in spec.list("metrics").iter().enumerate() {
        self::metric(metric, &metrics_at.index(index), errors);
    }
    let from_outside = |metric: &Value| matches!(metric.text("type"), "Object" | "External");
    if min == Some(0) && !spec.list("metrics").iter().any(from_outside) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.forbidden(&metrics_at, detail);
    }
    if let Some(behavior) = spec.at("behavior") {
        let at = at.field("behavior");
        for direction in ["scaleUp", "scaleDown"] {
            if let Some(rules) = behavior.at(direction) {
                scaling(rules, &at.field(direction), errors);
            }
        }
    }
}

fn reference(reference: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required_named(reference, "kind", names::path_segment, at, errors);
    check::required_named(reference, "name", names::path_segment, at, errors);
}

/// The kinds of metrics and where they are told, in the order in which the reference looks at them.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

fn metric(metric: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = metric.text("type");
    if kind.is_empty() {
        errors.required(&at.field("type"), "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field);
    if expected.is_none() {
        errors.not_supported(&at.field("type"), kind, &KINDS);
    }
    let mut present = SOURCES.iter().filter(|(_, field)| metric.has(field)).map(|(_, field)| *field);
    // The first is looked at, whether it is the one that the kind tells or not.
    if let Some(first) = present.next() {
        self::source(first, metric.or_null(first), &at.field(first), errors);
        let more: Vec<&str> = present.collect();
        if let Some(expected) = expected.filter(|expected| !metric.has(expected)) {
            errors.required(&at.field(expected), "must populate information for the given metric source");
        }
        if !more.is_empty() {
            for other in std::iter::once(first).chain(more).filter(|other| Some(*other) != expected) {
                errors.forbidden(&at.field(other), "must populate the given metric source only");
            }
        }
    } else if let Some(expected) = expected {
        errors.required(&at.field(expected), "must populate information for the given metric source");
    }
}

fn source(name: &str, source: &Value, at: &At<'_>, errors: &mut Errors) {
    let target = source.or_null("target");
    let target_at = at.field("target");
    match name {
        "resource" | "containerResource" => {
            let resource = source.text("name");
            if resource.is_empty() {
                errors.required(&at.field("name"), "must specify a resource name");
            } else if name == "containerResource" {
                resources::container_resource_name(resource, &at.field("name"), errors);
            }
            if name == "containerResource" {
                match source.text("container") {
                    "" => errors.required(&at.field("container"), "must specify a container"),
                    container => {
                        errors.each_invalid(&at.field("container"), container, names::dns_label(container));
                    }
                }
            }
        }
        _ => {
            if name == "object" {
                reference(source.or_null("describedObject"), &at.field("describedObject"), errors);
            }
            let at = at.field("metric");
            match source.or_null("metric").text("name") {
                "" => errors.required(&at.field("name"), "must specify a metric name"),
                metric => errors.each_invalid(&at.field("name"), metric, names::path_segment(metric)),
            }
        }
    }
    self::target(target, &target_at, errors);
    let (value, average) = (target.has("value"), target.has("averageValue"));
    let utilization = target.has("averageUtilization");
    let average_at = target_at.field("averageValue");
    match name {
        "object" if !value && !average => {
            errors.required(&average_at, "must set either a target value or averageValue");
        }
        "external" if !value && !average => {
            errors.required(&average_at, "must set either a target value for metric or a per-pod target");
        }
        "external" if value && average => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.forbidden(&target_at.field("value"), detail);
        }
        "pods" if !average => errors.required(&average_at, "must specify a positive target averageValue"),
        "resource" | "containerResource" if !utilization && !average => {
            let detail = "must set either a target raw value or a target utilization";
            errors.required(&target_at.field("averageUtilization"), detail);
        }
        "resource" | "containerResource" if utilization && average => {
            errors.forbidden(&average_at, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn target(target: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = target.text("type");
    if kind.is_empty() {
        errors.required(&at.field("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.invalid(&at.field("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = resources::quantity_of(target, field).filter(|amount| amount.signum() <= 0) {
            errors.invalid(&at.field(field), amount.to_string(), "must be positive");
        }
    }
    if let Some(percent) = target.int("averageUtilization").filter(|percent| *percent < 1) {
        errors.invalid(&at.field("averageUtilization"), percent, "must be greater than 0");
    }
}

fn scaling(rules: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(seconds) = rules.int("stabilizationWindowSeconds").filter(|seconds| *seconds < 0) {
        errors.invalid(&at.field("stabilizationWindowSeconds"), seconds, "must be greater than or equal to zero");
    }
    if let Some(tolerance) = rules.at("tolerance") {
        resources::nonnegative(tolerance, &at.field("tolerance"), errors);
    }
    if let Some(seconds) = rules.int("stabilizationWindowSeconds").filter(|seconds| *seconds > WINDOW_SECONDS_MAX) {
        let detail = format!("must be less than or equal to {WINDOW_SECONDS_MAX}");
        errors.invalid(&at.field("stabilizationWindowSeconds"), seconds, detail);
    }
    check::one_of_if(rules, "selectPolicy", &["Disabled", "Max", "Min"], at, errors);
    let at = at.field("policies");
    if rules.list("policies").is_empty() {
        errors.required(&at, "must specify at least one Policy");
    }
    for (index, policy) in rules.list("policies").iter().enumerate() {
        let at = at.index(index);
        if !matches!(policy.text("type"), "Percent" | "Pods") {
            errors.not_supported(&at.field("type"), policy.text("type"), &["Percent", "Pods"]);
        }
        for field in ["value", "periodSeconds"] {
            let number = policy.int(field).unwrap_or(0);
            if number <= 0 {
                errors.invalid(&at.field(field), number, "must be greater than zero");
            }
        }
        if let Some(seconds) = policy.int("periodSeconds").filter(|seconds| *seconds > PERIOD_SECONDS_MAX) {
            let detail = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
            errors.invalid(&at.field("periodSeconds"), seconds, detail);
        }
    }
}
