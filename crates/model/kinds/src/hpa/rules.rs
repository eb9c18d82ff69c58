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

pub(super) fn validate(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let (min, max) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.invalid(&at.field("minReplicas"), min, "must be greater than or equal to 1");
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

fn metric(metric: &Value, at: &At<'_>, errors: &mut Errors) {
    let kinds = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = metric.text("type");
    if kind.is_empty() {
        errors.required(&at.field("type"), "must specify a metric source type");
        return;
    }
    let Some((_, field)) = kinds.iter().find(|(known, _)| *known == kind) else {
        errors.not_supported(&at.field("type"), kind, &kinds.map(|(known, _)| known));
        return;
    };
    let source_at = at.field(field);
    let Some(source) = metric.at(field) else {
        errors.required(&source_at, "must populate information for the given metric source");
        return;
    };
    for (_, other) in kinds.iter().filter(|(known, other)| *known != kind && metric.has(other)) {
        errors.forbidden(&at.field(other), "must populate the given metric source only");
    }
    match kind {
        "Resource" | "ContainerResource" => {
            if source.text("name").is_empty() {
                errors.required(&source_at.field("name"), "must specify a resource name");
            }
            if kind == "ContainerResource" && source.text("container").is_empty() {
                errors.required(&source_at.field("container"), "must specify a container");
            }
        }
        _ => {
            let at = source_at.field("metric");
            check::required_named(source.or_null("metric"), "name", names::path_segment, &at, errors);
            if kind == "Object" {
                reference(source.or_null("describedObject"), &source_at.field("describedObject"), errors);
            }
        }
    }
    target(source.or_null("target"), &source_at.field("target"), errors);
}

fn target(target: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = target.text("type");
    match kind {
        "" => errors.required(&at.field("type"), "must specify a metric target type"),
        "Utilization" | "Value" | "AverageValue" => {}
        kind => {
            errors.invalid(&at.field("type"), kind, "must be either Utilization, Value, or AverageValue");
        }
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
    check::nonnegative(rules, "stabilizationWindowSeconds", at, errors);
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
        check::one_of(policy, "type", &["Percent", "Pods"], &at, errors);
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
