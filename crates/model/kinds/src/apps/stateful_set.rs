//! StatefulSets.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{collisions, counts};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::int_or_percent;
use crate::names;
use crate::path::At;
use crate::pod::{defaults, template};
use crate::read::{Fill, Read};
use crate::same::same_value;
use crate::seen::Seen;
use crate::selector::{self, Selector};
use crate::strategy::Strategy;
use crate::volume_claim;
use crate::warnings;

pub(crate) struct StatefulSet;

const UPDATABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill_text("podManagementPolicy", "OrderedReady");
        spec.fill("replicas", 1);
        spec.fill("revisionHistoryLimit", 10);
        if let Some(strategy) = spec.make("updateStrategy") {
            strategy.fill_text("type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = strategy.make("rollingUpdate")
            {
                rolling.fill("partition", 0);
            }
        }
        if let Some(policy) = spec.make("persistentVolumeClaimRetentionPolicy") {
            policy.fill_text("whenDeleted", "Retain");
            policy.fill_text("whenScaled", "Retain");
        }
        defaults::template(spec);
        for claim in spec.each("volumeClaimTemplates") {
            claim.fill("apiVersion", "v1");
            claim.fill("kind", "PersistentVolumeClaim");
            if let Some(spec) = claim.make("spec") {
                volume_claim::default_spec(spec);
            }
            if let Some(status) = claim.make("status") {
                status.fill_text("phase", "Pending");
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"replicas": 0, "availableReplicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(object.or_null("spec"), Scrutiny::New, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let at = At::Root.field("spec");
        let check = |object: &Value, scrutiny: Scrutiny| {
            let mut errors = Errors::new();
            spec(object.or_null("spec"), scrutiny, &at, &mut errors);
            errors
        };
        let mut errors = check(new, Scrutiny::Changed);
        // A template that was let in when templates were not looked at does not stand in the way of other changes.
        if !errors.is_empty() && !check(old, Scrutiny::Changed).is_empty() {
            errors = check(new, Scrutiny::Tolerated);
        }
        let mut munged = new.or_null("spec").clone();
        for field in UPDATABLE {
            munged.copy(field, old.or_null("spec"));
        }
        if !same_value(&munged, old.or_null("spec")) {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            errors.forbidden(&at, detail);
        }
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let counters = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        counts(new.or_null("status"), &counters, "replicas", &parts, "status.readyReplicas", &mut errors);
        collisions(new, old, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = warnings::controller(new, old, false);
        let spec = new.or_null("spec");
        let at = At::Root.field("spec");
        let claims_at = at.field("volumeClaimTemplates");
        for (index, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
            volume_claim::warn(claim.or_null("spec"), &claims_at.index(index), &mut warnings);
        }
        if spec.int("revisionHistoryLimit").is_some_and(|limit| limit < 0) {
            let text = "a negative value retains all historical revisions; a value >= 0 is recommended";
            warnings.push(&at.field("revisionHistoryLimit"), text);
        }
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// How closely a spec is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scrutiny {
    /// All of it.
    New,
    /// All but what cannot be changed any more.
    Changed,
    /// The template neither.
    Tolerated,
}

fn spec(spec: &Value, scrutiny: Scrutiny, at: &At<'_>, errors: &mut Errors) {
    match spec.text("podManagementPolicy") {
        "" => errors.required(&at.field("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        policy => errors.invalid(&at.field("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(spec.or_null("updateStrategy"), &at.field("updateStrategy"), errors);
    let policy_at = at.field("persistentVolumeClaimRetentionPolicy");
    if let Some(policy) = spec.at("persistentVolumeClaimRetentionPolicy") {
        for field in ["whenDeleted", "whenScaled"] {
            if !matches!(policy.text(field), "Retain" | "Delete") {
                errors.not_supported(&policy_at.field(field), policy.text(field), &["Retain", "Delete"]);
            }
        }
    }
    if scrutiny == Scrutiny::New {
        let at = at.field("volumeClaimTemplates");
        for (index, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
            volume_claim::spec(claim.or_null("spec"), &at.index(index).field("spec"), errors);
        }
    }
    check::nonnegative(spec, "replicas", at, errors);
    check::nonnegative(spec, "minReadySeconds", at, errors);
    check::nonnegative(spec.or_null("ordinals"), "start", &at.field("ordinals"), errors);
    if scrutiny == Scrutiny::New {
        check::named(spec, "serviceName", names::dns_label, at, errors);
    }
    selector::validate(spec, "empty selector is invalid for statefulset", at, errors);
    let selector = Selector::of(spec);
    let template = spec.or_null("template");
    let template_at = at.field("template");
    if matches!(selector, Selector::Malformed) {
        errors.invalid(&at.field("selector"), spec.or_null("selector").clone(), "");
    } else {
        if !selector.accepts(template) {
            let at = template_at.field("metadata");
            let labels = template.or_null("metadata").or_null("labels").clone();
            errors.invalid(&at.field("labels"), labels, "`selector` does not match template `labels`");
        }
        if scrutiny != Scrutiny::Tolerated {
            template::validate(&complete(template, spec), &template_at, errors);
        }
    }
    let pod_at = template_at.field("spec");
    let pod = template.or_null("spec");
    if pod.text("restartPolicy") != "Always" {
        errors.not_supported(&pod_at.field("restartPolicy"), pod.text("restartPolicy"), &["Always"]);
    }
    if pod.has("activeDeadlineSeconds") {
        let detail = "activeDeadlineSeconds in StatefulSet is not Supported";
        errors.forbidden(&pod_at.field("activeDeadlineSeconds"), detail);
    }
}

/// The template as pods will have it: with volumes for the claims, without the names that the controller gives.
fn complete<'a>(template: &'a Value, spec: &Value) -> Cow<'a, Value> {
    let claims = spec.list("volumeClaimTemplates");
    let pod = template.or_null("spec");
    if claims.is_empty() && pod.text("subdomain").is_empty() && pod.text("hostname").is_empty() {
        return Cow::Borrowed(template);
    }
    let mut template = template.clone();
    if let Some(pod) = template.inside("spec") {
        pod.remove("subdomain");
        pod.remove("hostname");
        let names: Vec<&str> = claims.iter().map(|claim| claim.or_null("metadata").text("name")).collect();
        let replaced = Seen::of(names.iter().copied());
        let mut volumes: Vec<Value> =
            names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
        volumes.extend(pod.list("volumes").iter().filter(|volume| !replaced.has(volume.text("name"))).cloned());
        pod.set("volumes", volumes);
    }
    Cow::Owned(template)
}

fn update_strategy(strategy: &Value, at: &At<'_>, errors: &mut Errors) {
    let rolling_at = at.field("rollingUpdate");
    match (strategy.text("type"), strategy.at("rollingUpdate")) {
        ("", _) => errors.required(at, ""),
        ("OnDelete", Some(rolling)) => {
            errors.invalid(&rolling_at, rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'");
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        ("RollingUpdate", Some(rolling)) => {
            check::nonnegative(rolling, "partition", &rolling_at, errors);
            if let Some(unavailable) = rolling.at("maxUnavailable") {
                let at = rolling_at.field("maxUnavailable");
                int_or_percent::validate(unavailable, &at, errors);
                if int_or_percent::amount(unavailable) == 0 {
                    errors.invalid(&at, unavailable.clone(), "cannot be 0");
                }
                int_or_percent::at_most_all(unavailable, &at, errors);
            }
        }
        _ => errors.invalid(at, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}
