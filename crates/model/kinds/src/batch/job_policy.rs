//! When a Job has failed and when it has succeeded before its end: failure and success policies.

use serde_json::Value;

use super::indexes;
use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const RULES_MAX: usize = 20;
const CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// `podFailurePolicy` of a Job's spec.
pub(super) fn failure(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("rules");
    let rules = spec.or_null("podFailurePolicy").list("rules");
    if rules.len() > RULES_MAX {
        errors.too_many(&at, rules.len(), RULES_MAX);
    }
    for (index, rule) in rules.iter().enumerate() {
        failure_rule(spec, rule, &at.index(index), errors);
    }
}

fn failure_rule(spec: &Value, rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let action_at = at.field("action");
    match rule.text("action") {
        "" => required(&ACTIONS, &action_at, errors),
        "FailIndex" if !spec.has("backoffLimitPerIndex") => {
            errors.invalid(&action_at, "FailIndex", "requires the backoffLimitPerIndex to be set");
        }
        action if !ACTIONS.contains(&action) => errors.not_supported(&action_at, action, &ACTIONS),
        _ => {}
    }
    let codes = rule.at("onExitCodes");
    if let Some(codes) = codes {
        exit_codes(spec, codes, &at.field("onExitCodes"), errors);
    }
    let patterns = rule.list("onPodConditions");
    let patterns_at = at.field("onPodConditions");
    if patterns.len() > CONDITIONS_MAX {
        errors.too_many(&patterns_at, patterns.len(), CONDITIONS_MAX);
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let at = patterns_at.index(index);
        let kind = pattern.text("type");
        errors.each_invalid(&at.field("type"), kind, names::qualified_name(kind));
        valued(pattern, "status", &STATUSES, &at, errors);
    }
    match (codes.is_some(), !patterns.is_empty()) {
        (true, true) => {
            errors.invalid_unshown(at, "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        (false, false) => {
            errors.invalid_unshown(at, "specifying one of OnExitCodes and OnPodConditions is required");
        }
        _ => {}
    }
}

/// `holder.name` must be there and one of `supported`; what is missing is told with the choices.
fn valued(holder: &Value, name: &str, supported: &[&str], at: &At<'_>, errors: &mut Errors) {
    match holder.text(name) {
        "" => required(supported, &at.field(name), errors),
        value if supported.contains(&value) => {}
        value => errors.not_supported(&at.field(name), value, supported),
    }
}

/// The choices as Go prints a list of strings.
fn required(supported: &[&str], at: &At<'_>, errors: &mut Errors) {
    let quoted: Vec<String> = supported.iter().map(|value| crate::error::quote(value)).collect();
    errors.required(at, &format!("valid values: [{}]", quoted.join(" ")));
}

fn exit_codes(spec: &Value, codes: &Value, at: &At<'_>, errors: &mut Errors) {
    valued(codes, "operator", &OPERATORS, at, errors);
    if let Some(name) = codes.text_if("containerName") {
        let pod = spec.or_null("template").or_null("spec");
        let mut containers = pod.list("containers").iter().chain(pod.list("initContainers"));
        if !containers.any(|container| container.text("name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.invalid(&at.field("containerName"), name, detail);
        }
    }
    let at = at.field("values");
    let values = codes.list("values");
    if values.is_empty() {
        errors.invalid(&at, Value::Null, "at least one value is required");
    } else if values.len() > CODES_MAX {
        errors.too_many(&at, values.len(), CODES_MAX);
    }
    let mut seen = Seen::new();
    for (index, value) in values.iter().enumerate() {
        let at = at.index(index);
        if codes.text("operator") == "In" && value.as_i64() == Some(0) {
            errors.invalid(&at, 0, "must not be 0 for the In operator");
        }
        if seen.again(value) {
            errors.duplicate(&at, value.clone());
        }
    }
    if !values.is_sorted_by_key(|value| value.as_i64().unwrap_or(0)) {
        errors.invalid(&at, values.to_vec(), "must be ordered");
    }
}

/// `successPolicy` of a Job's spec.
pub(super) fn success(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let policy = spec.or_null("successPolicy");
    if spec.text("completionMode") != "Indexed" {
        errors.invalid(at, policy.clone(), "requires indexed completion mode");
        return;
    }
    let at = at.field("rules");
    let rules = policy.list("rules");
    if rules.is_empty() {
        errors.required(&at, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        errors.too_many(&at, rules.len(), RULES_MAX);
    }
    for (index, rule) in rules.iter().enumerate() {
        success_rule(rule, spec.int("completions").unwrap_or(0), &at.index(index), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, at: &At<'_>, errors: &mut Errors) {
    let (wanted, indexes) = (rule.int("succeededCount"), rule.text_if("succeededIndexes"));
    if wanted.is_none() && indexes.is_none() {
        errors.required(at, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let at = at.field("succeededIndexes");
        if indexes.len() > INDEXES_BYTES_MAX {
            errors.too_long(&at, INDEXES_BYTES_MAX);
        }
        match indexes::count(indexes, completions) {
            Ok(count) => total = count,
            Err(error) => errors.invalid(&at, indexes, format!("error parsing succeededIndexes: {error}")),
        }
    }
    let Some(wanted) = wanted else { return };
    check::nonnegative(rule, "succeededCount", at, errors);
    let at = at.field("succeededCount");
    if wanted > completions {
        let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.invalid(&at, wanted, detail);
    }
    if indexes.is_some() && wanted > total {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.invalid(&at, wanted, detail);
    }
}
