//! Jobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::job_update;
use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata;
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::selector::Selector;
use crate::strategy::Strategy;

pub(crate) struct Job;

const MISMATCH: &str = "`selector` does not match template `labels`";
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
/// The labels that tie pods to their Job, and where their value comes from.
const LABELS: [(&str, &str); 4] = [
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
    ("controller-uid", "uid"),
    ("job-name", "name"),
];
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

impl Strategy for Job {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        if !spec.has("completions") && !spec.has("parallelism") {
            spec.set("completions", 1);
        }
        spec.fill("parallelism", 1);
        let limit = if spec.has("backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
        spec.fill("backoffLimit", limit);
        spec.fill("completionMode", "NonIndexed");
        spec.fill("suspend", false);
        let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        spec.fill("podReplacementPolicy", replacement);
        for rule in spec.inside("podFailurePolicy").into_iter().flat_map(|policy| policy.each("rules")) {
            for condition in rule.each("onPodConditions") {
                condition.fill_text("status", "True");
            }
        }
        defaults::template(spec);
        own_labels(object);
    }

    /// Needs `metadata.name` and `metadata.uid`: the selector is made from them.
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
        let metadata = object.or_null("metadata").clone();
        let Some(spec) = object.make("spec") else { return };
        if spec.is("manualSelector") {
            return;
        }
        let uid = metadata.text("uid").to_owned();
        if let Some(labels) = spec
            .make("template")
            .and_then(|template| template.make("metadata"))
            .and_then(|metadata| metadata.make("labels"))
        {
            for (label, field) in LABELS {
                labels.set(label, metadata.text(field));
            }
        }
        if let Some(labels) = spec.make("selector").and_then(|selector| selector.make("matchLabels")) {
            labels.set(CONTROLLER_UID, uid);
        }
        own_labels(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        generated_selector(object, &mut errors);
        job(object.or_null("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        job(new.or_null("spec"), &at, &mut errors);
        job_update::validate(new, old, &at, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        let status = new.or_null("status");
        for counter in ["active", "succeeded", "failed", "ready", "terminating"] {
            check::nonnegative(status, counter, &at, &mut errors);
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// A Job without labels has those of its template.
fn own_labels(object: &mut Value) {
    let labels = object.or_null("spec").or_null("template").or_null("metadata").or_null("labels").clone();
    if let Some(metadata) = object.make("metadata")
        && !labels.is_null()
        && metadata.map("labels").is_none_or(serde_json::Map::is_empty)
    {
        metadata.set("labels", labels);
    }
}

/// A selector that was not made by hand is the one that the API server makes.
fn generated_selector(object: &Value, errors: &mut Errors) {
    let spec = object.or_null("spec");
    if spec.is("manualSelector") || !spec.has("selector") {
        return;
    }
    let metadata = object.or_null("metadata");
    if metadata.text("uid").is_empty() {
        let at = At::Root.field("metadata");
        errors.required(&at.field("uid"), "");
    }
    let labels = spec.or_null("template").or_null("metadata").or_null("labels");
    let at = At::Root.field("spec");
    let template_at = at.field("template");
    let template_at = template_at.field("metadata");
    let labels_at = template_at.field("labels");
    for (label, field) in LABELS {
        let expected = metadata.text(field);
        match labels.text_if(label) {
            None => errors.required(&labels_at.key(label), &format!("must be '{expected}'")),
            Some(found) if found != expected => {
                errors.invalid(&labels_at.key(label), labels.clone(), format!("must be '{expected}'"));
            }
            Some(_) => {}
        }
    }
    let expected: serde_json::Map<String, Value> =
        LABELS.iter().map(|(label, field)| ((*label).to_owned(), metadata.text(field).into())).collect();
    let template = json!({"metadata": {"labels": expected}});
    if !Selector::of(spec).accepts(&template) {
        let value = spec.or_null("selector").clone();
        errors.invalid(&at.field("selector"), value, "`selector` not auto-generated");
    }
}

fn job(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    self::spec(spec, at, errors);
    let selector_at = at.field("selector");
    match spec.at("selector") {
        None => errors.required(&selector_at, ""),
        Some(selector) => metadata::label_selector(selector, &selector_at, errors),
    }
    let template = spec.or_null("template");
    if !Selector::of(spec).accepts(template) {
        let at = at.field("template");
        let at = at.field("metadata");
        let labels = template.or_null("metadata").or_null("labels").clone();
        errors.invalid(&at.field("labels"), labels, MISMATCH);
    }
}

/// Checks a Job's spec, of a Job or in a CronJob, but for its selector.
pub(super) fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check::nonnegative(spec, field, at, errors);
    }
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errors.required(&at.field("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if spec.has("completionMode") {
        completion_mode(spec, at, errors);
    }
    check::one_of_if(spec, "podReplacementPolicy", &["Failed", "TerminatingOrFailed"], at, errors);
    let template = spec.or_null("template");
    let template_at = at.field("template");
    template::validate(template, &template_at, errors);
    let policy = template.or_null("spec").text("restartPolicy");
    let pod_at = template_at.field("spec");
    let policy_at = pod_at.field("restartPolicy");
    match policy {
        // The default for pods is wrong for work that ends; the user has to choose.
        "" | "Always" => errors.required(&policy_at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" | "Never" => {}
        policy => errors.not_supported(&policy_at, policy, &["OnFailure", "Never"]),
    }
    if spec.has("podFailurePolicy") {
        failure_policy(spec, policy, &at.field("podFailurePolicy"), &pod_at, errors);
    }
}

fn completion_mode(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let mode = spec.text("completionMode");
    if !matches!(mode, "Indexed" | "NonIndexed") {
        errors.not_supported(&at.field("completionMode"), mode, &["Indexed", "NonIndexed"]);
    }
    if mode == "Indexed" {
        if !spec.has("completions") {
            errors.required(&at.field("completions"), "when completion mode is Indexed");
        }
        if let Some(parallelism) = spec.int("parallelism").filter(|number| *number > INDEXED_PARALLELISM_MAX) {
            let detail =
                format!("must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed");
            errors.invalid(&at.field("parallelism"), parallelism, detail);
        }
    } else if let Some(limit) = spec.at("backoffLimitPerIndex") {
        errors.invalid(&at.field("backoffLimitPerIndex"), limit.clone(), "requires indexed completion mode");
    }
}

fn failure_policy(spec: &Value, restart_policy: &str, at: &At<'_>, pod_at: &At<'_>, errors: &mut Errors) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    const RULES_MAX: usize = 20;
    if restart_policy != "Never" {
        let detail = "only \"Never\" is supported when podFailurePolicy is specified";
        errors.invalid(&pod_at.field("restartPolicy"), restart_policy, detail);
    }
    let rules_at = at.field("rules");
    let rules = spec.or_null("podFailurePolicy").list("rules");
    if rules.len() > RULES_MAX {
        errors.too_many(&rules_at, rules.len(), RULES_MAX);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        match rule.text("action") {
            "" => errors.required(&at.field("action"), &format!("valid values: {ACTIONS:?}")),
            "FailIndex" if !spec.has("backoffLimitPerIndex") => {
                let detail = "requires the backoffLimitPerIndex to be set";
                errors.invalid(&at.field("action"), "FailIndex", detail);
            }
            action if !ACTIONS.contains(&action) => errors.not_supported(&at.field("action"), action, &ACTIONS),
            _ => {}
        }
        match (rule.has("onExitCodes"), !rule.list("onPodConditions").is_empty()) {
            (true, true) => {
                let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
                errors.invalid(&at, rule.clone(), detail);
            }
            (false, false) => {
                errors.invalid(&at, rule.clone(), "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
        if let Some(codes) = rule.at("onExitCodes") {
            let at = at.field("onExitCodes");
            check::one_of(codes, "operator", &["In", "NotIn"], &at, errors);
            if codes.list("values").is_empty() {
                errors.invalid(&at.field("values"), Vec::<Value>::new(), "at least one value is required");
            }
        }
    }
}
