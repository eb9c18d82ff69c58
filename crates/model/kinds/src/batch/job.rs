//! Jobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{job_policy, job_status, job_update};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata;
use crate::names;
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::selector::Selector;
use crate::strategy::Strategy;
use crate::warnings::{POD_NAMES, Warnings, pods_name};

pub(crate) struct Job;

const MISMATCH: &str = "`selector` does not match template `labels`";
const INDEXED_MAX: i64 = 100_000;
/// How much of an indexed Job of more than [`INDEXED_MAX`] completions may run or fail at once.
const MANY_INDEXES_MAX: i64 = 10_000;
const MANAGER_BYTES_MAX: usize = 63;
/// The labels that tie pods to their Job, and where their value comes from.
const LABELS: [(&str, &str); 4] = [
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
    ("controller-uid", "uid"),
    ("job-name", "name"),
];
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

impl Strategy for Job {
    fn orphans_dependents(&self) -> bool {
        true
    }

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
            // Labels that the user wrote are left for the validation to judge.
            for (label, field) in LABELS {
                labels.fill(label, metadata.text(field));
            }
        }
        if let Some(labels) = spec.make("selector").and_then(|selector| selector.make("matchLabels")) {
            labels.fill(CONTROLLER_UID, uid);
        }
        own_labels(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        of_any_age(object, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        of_any_age(new, &mut errors);
        job_update::validate(new, old, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        job_status::validate(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        if old.is_none() {
            pods_name(new, POD_NAMES, &mut warnings);
        }
        warn(new.or_null("spec"), &At::Root.field("spec"), &mut warnings);
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// What is said of a Job's spec, of a Job or in a CronJob.
pub(super) fn warn(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    let many = |field: &str, limit: i64| spec.int(field).is_some_and(|number| number > limit);
    if spec.text("completionMode") == "Indexed"
        && many("completions", INDEXED_MAX)
        && many("parallelism", MANY_INDEXES_MAX)
    {
        warnings.push(at, "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail");
    }
    crate::pod::warnings::template(spec.or_null("template"), &at.field("template"), warnings);
}

/// What holds for every Job, new or changed.
fn of_any_age(object: &Value, errors: &mut Errors) {
    let spec = object.or_null("spec");
    generated_selector(object, errors);
    job(spec, &At::Root.field("spec"), errors);
    // The last pod's host name is the Job's name and its index.
    if spec.text("completionMode") == "Indexed"
        && let Some(completions) = spec.int("completions").filter(|completions| *completions > 0)
    {
        let name = object.or_null("metadata").text("name");
        let host = format!("{name}-{}", completions - 1);
        if !names::dns_label(&host).is_empty() {
            let at = At::Root.field("metadata");
            let detail = format!("will not able to create pod with invalid DNS label: {host}");
            errors.invalid(&at.field("name"), name, detail);
        }
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
    if let Some(manager) = spec.text_if("managedBy") {
        let at = at.field("managedBy");
        check::domain_prefixed_path(manager, &at, errors);
        if manager.len() > MANAGER_BYTES_MAX {
            errors.too_long(&at, MANAGER_BYTES_MAX);
        }
    }
    completion_mode(spec, at, errors);
    if spec.has("podFailurePolicy") {
        job_policy::failure(spec, &at.field("podFailurePolicy"), errors);
    }
    if spec.has("successPolicy") {
        job_policy::success(spec, &at.field("successPolicy"), errors);
    }
    let replacements: &[&str] =
        if spec.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    check::one_of_if(spec, "podReplacementPolicy", replacements, at, errors);
    let template = spec.or_null("template");
    let template_at = at.field("template");
    template::validate(template, &template_at, errors);
    let policy = template.or_null("spec").text("restartPolicy");
    let pod_at = template_at.field("spec");
    let policy_at = pod_at.field("restartPolicy");
    match policy {
        // The default for pods is wrong for work that ends; the user has to choose.
        "" | "Always" => errors.required(&policy_at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            errors.invalid(&policy_at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        policy => errors.not_supported(&policy_at, policy, &["OnFailure", "Never"]),
    }
}

fn completion_mode(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let modes = ["NonIndexed", "Indexed"];
    check::one_of_if(spec, "completionMode", &modes, at, errors);
    match spec.text_if("completionMode") {
        Some("Indexed") => indexed(spec, at, errors),
        None | Some("NonIndexed") => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = spec.at(field) {
                    errors.invalid(&at.field(field), value.clone(), "requires indexed completion mode");
                }
            }
        }
        Some(_) => {}
    }
}

fn indexed(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let completions = spec.int("completions");
    if completions.is_none() {
        errors.required(&at.field("completions"), "when completion mode is Indexed");
    }
    let at_most = |field: &str, max: i64, reason: &str, errors: &mut Errors| {
        if let Some(value) = spec.int(field).filter(|value| *value > max) {
            errors.invalid(&at.field(field), value, format!("must be less than or equal to {max}{reason}"));
        }
    };
    at_most("parallelism", INDEXED_MAX, " when completion mode is Indexed", errors);
    if let (Some(completions), Some(failed)) = (completions, spec.int("maxFailedIndexes"))
        && failed > completions
    {
        errors.invalid(&at.field("maxFailedIndexes"), failed, "must be less than or equal to completions");
    }
    at_most("maxFailedIndexes", INDEXED_MAX, "", errors);
    if completions.is_some_and(|completions| completions > INDEXED_MAX) && spec.has("backoffLimitPerIndex") {
        if !spec.has("maxFailedIndexes") {
            let detail = format!("must be specified when completions is above {INDEXED_MAX}");
            errors.required(&at.field("maxFailedIndexes"), &detail);
        }
        let reason = format!(" when completions are above {INDEXED_MAX} and used with backoff limit per index");
        for field in ["parallelism", "maxFailedIndexes"] {
            at_most(field, MANY_INDEXES_MAX, &reason, errors);
        }
    }
}
