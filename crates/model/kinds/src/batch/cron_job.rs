//! CronJobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::job;
use crate::check;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::pod::defaults;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;
use crate::warnings::{POD_NAMES, Warnings, pods_name};

pub(crate) struct CronJob;

/// A Job's name gets eleven more characters, and must stay a label.
const NAME_BYTES_MAX: usize = 52;

impl Strategy for CronJob {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill_text("concurrencyPolicy", "Allow");
        spec.fill("suspend", false);
        spec.fill("successfulJobsHistoryLimit", 3);
        spec.fill("failedJobsHistoryLimit", 1);
        if let Some(template) = spec.make("jobTemplate") {
            template.fill("metadata", json!({}));
            if let Some(spec) = template.make("spec") {
                defaults::template(spec);
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let name = object.or_null("metadata").text("name");
        if name.len() > NAME_BYTES_MAX {
            let at = At::Root.field("metadata");
            errors.invalid(&at.field("name"), name, format!("must be no more than {NAME_BYTES_MAX} characters"));
        }
        spec(object.or_null("spec"), None, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(new.or_null("spec"), old.at("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        if old.is_none() {
            pods_name(new, POD_NAMES, &mut warnings);
        }
        let spec = new.or_null("spec");
        let at = At::Root.field("spec");
        if spec.text("schedule").contains("TZ") {
            warnings.say("CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
        }
        let at = at.field("jobTemplate");
        job::warn(spec.or_null("jobTemplate").or_null("spec"), &at.field("spec"), &mut warnings);
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn spec(spec: &Value, old: Option<&Value>, at: &At<'_>, errors: &mut Errors) {
    let schedule = spec.text("schedule");
    let schedule_at = at.field("schedule");
    if schedule.is_empty() {
        errors.required(&schedule_at, "");
    } else {
        if let Err(error) = minato_cron::Schedule::parse(schedule) {
            errors.invalid(&schedule_at, schedule, error.to_string());
        }
        // Schedules that have a zone in them since before that was refused may stay.
        let tolerated = old.is_some_and(|old| old.text("schedule").contains("TZ"));
        if schedule.contains("TZ") && (!tolerated || spec.has("timeZone")) {
            let detail = match tolerated {
                true => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
                false => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            };
            errors.invalid(&schedule_at, schedule, detail);
        }
    }
    if let Some(zone) = spec.text_if("timeZone").filter(|zone| old.is_none_or(|old| old.text("timeZone") != *zone)) {
        time_zone(zone, &at.field("timeZone"), errors);
    }
    check::nonnegative(spec, "startingDeadlineSeconds", at, errors);
    check::one_of(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], at, errors);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::nonnegative(spec, field, at, errors);
    }
    let at = at.field("jobTemplate");
    let at = at.field("spec");
    let template = spec.or_null("jobTemplate").or_null("spec");
    job::spec(template, &at, errors);
    if let Some(selector) = template.at("selector") {
        errors.invalid(&at.field("selector"), selector.clone(), "`selector` will be auto-generated");
    }
    if template.is("manualSelector") {
        errors.not_supported(&at.field("manualSelector"), true, &["nil", "false"]);
    }
}

/// A name of the time zone database, spelt as there.
fn time_zone(zone: &str, at: &At<'_>, errors: &mut Errors) {
    if zone.is_empty() {
        errors.invalid(at, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("local") {
        errors.invalid(
            at,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    } else if minato_cron::time_zone(zone).is_none() {
        errors.invalid(at, zone, format!("unknown time zone {zone}"));
    }
}
