//! What may be said of a Job's progress. Controllers outside the cluster's own may say it (`managedBy`), so that the rules hold
//! for what a change touches: what was wrong before and is left alone does not stand in the way.

use jiff::Timestamp;
use serde_json::Value;

use super::indexes;
use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::Read;
use crate::same::same;
use crate::seen::Seen;

/// The conditions that mean something for these rules.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Conditions {
    complete: bool,
    failed: bool,
    failure_target: bool,
    success_met: bool,
    suspended: bool,
}

impl Conditions {
    fn of(status: &Value) -> Conditions {
        let is = |kind: &str| is_true(status, kind);
        Conditions {
            complete: is("Complete"),
            failed: is("Failed"),
            failure_target: is("FailureTarget"),
            success_met: is("SuccessCriteriaMet"),
            suspended: is("Suspended"),
        }
    }

    fn finished(self) -> bool {
        self.complete || self.failed
    }
}

/// Whether the status has that condition and it is true.
pub(super) fn is_true(status: &Value, kind: &str) -> bool {
    let mut conditions = status.list("conditions").iter();
    conditions.any(|condition| condition.text("type") == kind && condition.text("status") == "True")
}

pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let update = Update {
        spec: new.or_null("spec"),
        new: new.or_null("status"),
        old: old.or_null("status"),
        is: Conditions::of(new.or_null("status")),
        was: Conditions::of(old.or_null("status")),
    };
    for counter in ["active", "succeeded", "failed", "ready", "terminating"] {
        check::nonnegative(update.new, counter, &at, errors);
    }
    uncounted(update.new, &at.field("uncountedTerminatedPods"), errors);
    update.conditions(&at.field("conditions"), errors);
    update.times(&at, errors);
    update.counters(&at, errors);
    update.indexes(&at, errors);
    update.irreversible(&at, errors);
}

fn uncounted(status: &Value, at: &At<'_>, errors: &mut Errors) {
    let pods = status.or_null("uncountedTerminatedPods");
    let mut seen = Seen::new();
    for list in ["succeeded", "failed"] {
        let at = at.field(list);
        for (index, uid) in pods.texts(list).enumerate() {
            let at = at.index(index);
            if uid.is_empty() {
                errors.invalid(&at, uid, "must not be empty");
            } else if seen.again(uid) {
                errors.duplicate(&at, uid);
            }
        }
    }
}

struct Update<'a> {
    spec: &'a Value,
    new: &'a Value,
    old: &'a Value,
    is: Conditions,
    was: Conditions,
}

impl Update<'_> {
    fn changes(&self, field: &str) -> bool {
        !same(self.new.at(field), self.old.at(field))
    }

    fn is_indexed(&self) -> bool {
        self.spec.text("completionMode") == "Indexed"
    }

    fn finishes(&self) -> bool {
        self.is.finished() != self.was.finished()
    }

    fn conditions(&self, at: &At<'_>, errors: &mut Errors) {
        let (is, was) = (self.is, self.was);
        let completes = is.complete != was.complete;
        let fails = is.failed != was.failed;
        let targets = is.failure_target != was.failure_target;
        let policy = self.spec.has("successPolicy");
        for (broken, detail) in [
            ((completes || fails) && is.complete && is.failed, "cannot set Complete=True and Failed=true conditions"),
            (
                (completes || targets) && is.complete && is.failure_target,
                "cannot set Complete=True and FailureTarget=true conditions",
            ),
            (
                (fails || targets) && is.failed && !is.failure_target,
                "cannot set Failed=True condition without the FailureTarget=true condition",
            ),
            (
                (completes || is.success_met != was.success_met) && is.complete && !is.success_met,
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
            (is.success_met && is.failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            (
                is.success_met && is.failure_target,
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ),
            (
                policy && !is.success_met && is.complete,
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            ),
        ] {
            if broken {
                errors.invalid_unshown(at, detail);
            }
        }
    }

    fn times(&self, at: &At<'_>, errors: &mut Errors) {
        let (start, end) = (self.new.text_if("startTime"), self.new.text_if("completionTime"));
        let end_at = at.field("completionTime");
        let (starts, ends) = (self.changes("startTime"), self.changes("completionTime"));
        let completes = self.is.complete != self.was.complete;
        if ends || completes {
            match end {
                Some(end) if !self.is.complete => {
                    let detail = "cannot set completionTime when there is no Complete=True condition";
                    errors.invalid(&end_at, end, detail);
                }
                None if self.is.complete => {
                    errors.required(&end_at, "completionTime is required for Complete jobs");
                }
                _ => {}
            }
        }
        let moment = |time: Option<&str>| time.and_then(|time| time.parse::<Timestamp>().ok());
        if (starts || ends)
            && let (Some(began), Some(ended)) = (moment(start), moment(end))
            && ended < began
        {
            errors.invalid(
                &end_at,
                self.new.or_null("completionTime").clone(),
                "must be equal to or after `startTime`",
            );
        }
        let empty = self.spec.is("suspend") && self.spec.int("completions") == Some(0);
        if (self.finishes() || starts) && !empty && start.is_none() && self.is.finished() {
            errors.required(&at.field("startTime"), "startTime is required for finished job");
        }
    }

    fn counters(&self, at: &At<'_>, errors: &mut Errors) {
        let count = |field: &str| self.new.int(field).unwrap_or(0);
        let finished = self.is.finished();
        for (field, detail) in [
            ("active", "active>0 is invalid for finished job"),
            ("terminating", "terminating>0 is invalid for finished job"),
        ] {
            if (self.finishes() || self.changes(field)) && finished && count(field) > 0 {
                errors.invalid(&at.field(field), count(field), detail);
            }
        }
        let pods = self.new.or_null("uncountedTerminatedPods");
        if (self.finishes() || self.changes("uncountedTerminatedPods"))
            && finished
            && !(pods.list("succeeded").is_empty() && pods.list("failed").is_empty())
        {
            errors.invalid(&at.field("uncountedTerminatedPods"), pods.clone(), "must be empty for finished job");
        }
        if (self.changes("ready") || self.changes("active")) && count("ready") > count("active") {
            errors.invalid(&at.field("ready"), count("ready"), "cannot set more ready pods than active");
        }
    }

    fn indexes(&self, at: &At<'_>, errors: &mut Errors) {
        let (completed, failed) = (self.new.text("completedIndexes"), self.new.text_if("failedIndexes"));
        let (completed_at, failed_at) = (at.field("completedIndexes"), at.field("failedIndexes"));
        let (completes, fails) = (self.changes("completedIndexes"), self.changes("failedIndexes"));
        let completions = self.spec.int("completions");
        if let Some(completions) = completions {
            if completes && let Err(error) = indexes::count(completed, completions) {
                errors.invalid(&completed_at, completed, format!("error parsing completedIndexes: {error}"));
            }
            if fails
                && self.spec.has("backoffLimitPerIndex")
                && let Some(failed) = failed
                && let Err(error) = indexes::count(failed, completions)
            {
                errors.invalid(&failed_at, failed, format!("error parsing failedIndexes: {error}"));
            }
        }
        if completes && !completed.is_empty() && !self.is_indexed() {
            let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
            errors.invalid(&completed_at, completed, detail);
        }
        let Some(failed) = failed else { return };
        if fails && !self.spec.has("backoffLimitPerIndex") {
            let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            errors.invalid(&failed_at, failed, detail);
        }
        if (completes || fails)
            && let Some(index) = completions.and_then(|completions| indexes::overlap(completed, failed, completions))
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.invalid(&failed_at, failed, detail);
        }
    }

    /// What was once said cannot be taken back.
    fn irreversible(&self, at: &At<'_>, errors: &mut Errors) {
        let (is, was) = (self.is, self.was);
        let conditions_at = at.field("conditions");
        for (kind, was, is) in [
            ("Failed", was.failed, is.failed),
            ("Complete", was.complete, is.complete),
            ("FailureTarget", was.failure_target, is.failure_target),
        ] {
            if was && !is {
                errors.invalid_unshown(&conditions_at, format!("cannot disable the terminal {kind}=True condition"));
            }
        }
        let count = |status: &Value, field: &str| status.int(field).unwrap_or(0);
        let scaled = self.is_indexed() && self.spec.int("completions") == self.spec.int("parallelism");
        for field in ["failed", "succeeded"] {
            // An indexed Job that is made smaller forgets what the indexes beyond its end did.
            if count(self.new, field) < count(self.old, field) && !(field == "succeeded" && scaled) {
                let detail = format!("cannot decrease the {field} counter");
                errors.invalid(&at.field(field), count(self.new, field), detail);
            }
        }
        if self.new.has("completionTime") && self.old.has("completionTime") && self.changes("completionTime") {
            let value = self.new.or_null("completionTime").clone();
            errors.invalid(&at.field("completionTime"), value, check::IMMUTABLE);
        }
        let resumes = was.suspended && !is.suspended;
        if self.old.has("startTime") && self.changes("startTime") && !self.spec.is("suspend") && !resumes {
            let value = self.new.or_null("startTime").clone();
            errors.invalid(&at.field("startTime"), value, "field is immutable for unsuspended job once set");
        }
        if was.success_met && !is.success_met {
            errors.invalid_unshown(&conditions_at, "cannot disable the SuccessCriteriaMet=True condition");
        }
        if was.complete && !was.success_met && is.success_met {
            let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            errors.invalid_unshown(&conditions_at, detail);
        }
    }
}
