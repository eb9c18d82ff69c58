//! Pods, and the pod templates of everything that makes pods.

mod containers;
pub(crate) mod defaults;
mod env;
mod network;
mod probes;
pub(crate) mod qos;
mod restart;
pub(crate) mod scheduling;
mod security;
mod spec;
mod status;
pub(crate) mod template;
mod update;
pub(crate) mod volumes;
pub(crate) mod warnings;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::declaration::Subresource;
use crate::error::{Errors, FieldError};
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;
use crate::warnings::{Warnings, pods_name};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// In what a pod spec stands.
pub(crate) struct Context<'a> {
    /// In a pod itself, not in a template.
    pub(crate) is_pod: bool,
    /// The pod's name, if it has one yet.
    pub(crate) name: &'a str,
}

/// The rules of pods.
pub(crate) struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Value) {
        object.make("spec");
        defaults::pod(object);
        if let Some(status) = object.inside("status") {
            mirror_addresses(status);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        let class = qos::class(object.or_null("spec"));
        let mut status = json!({"phase": "Pending", "qosClass": class});
        if !object.or_null("spec").list("schedulingGates").is_empty() {
            let condition = json!({
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            });
            status.set("conditions", vec![condition]);
        }
        object.set("status", status);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if let Some(spec) = new.inside("spec") {
            // Ephemeral containers have a URL of their own.
            spec.copy("ephemeralContainers", old.or_null("spec"));
        }
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        if let Some(metadata) = new.make("metadata") {
            metadata.copy("ownerReferences", old.or_null("metadata"));
        }
        let class = old.or_null("status").text("qosClass");
        let class = if class.is_empty() { qos::class(old.or_null("spec")) } else { class }.to_owned();
        if let Some(status) = new.make("status") {
            status.set("qosClass", class);
            mirror_addresses(status);
        }
    }

    fn prepare_for_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        match subresource {
            Subresource::EphemeralContainers => {
                let containers = new.or_null("spec").or_null("ephemeralContainers").clone();
                new.copy("spec", old);
                if let (Some(spec), false) = (new.inside("spec"), containers.is_null()) {
                    spec.set("ephemeralContainers", containers);
                }
                new.copy("status", old);
            }
            Subresource::Resize => {
                let wanted = new.or_null("spec").clone();
                new.copy("spec", old);
                new.copy("status", old);
                if let Some(spec) = new.inside("spec") {
                    for list in ["containers", "initContainers"] {
                        for container in spec.each(list) {
                            let name = container.text("name").to_owned();
                            if let Some(found) = wanted.list(list).iter().find(|other| other.text("name") == name) {
                                container.copy("resources", found);
                                container.copy("resizePolicy", found);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        any(object, &mut errors);
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        if !spec.list("ephemeralContainers").is_empty() {
            errors.forbidden(&at.field("ephemeralContainers"), "cannot be set on create");
        }
        if !spec.text("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.forbidden(&at.field("nodeName"), detail);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        any(new, &mut errors);
        update::validate(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        status::validate(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource_update(&self, subresource: Subresource, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        any(new, &mut errors);
        match subresource {
            Subresource::EphemeralContainers => update::ephemeral_containers(new, old, &mut errors),
            Subresource::Resize => update::resize(new, old, &mut errors),
            _ => {}
        }
        errors.into_vec()
    }

    /// Nothing is said of changes: hardly anybody changes pods by hand.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        if old.is_none() {
            pods_name(new, "the Pod's hostname", &mut warnings);
            warnings::pod(new, &mut warnings);
        }
        warnings.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        !same(new.at("spec"), old.at("spec"))
    }

    fn default_grace_period(&self, object: &Value) -> Option<i64> {
        let spec = object.or_null("spec");
        // A pod that no node has, or that has ended, goes at once.
        let finished = matches!(object.or_null("status").text("phase"), "Failed" | "Succeeded");
        if spec.text("nodeName").is_empty() || finished {
            return Some(0);
        }
        let seconds = spec.int("terminationGracePeriodSeconds").unwrap_or(30);
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

/// `podIP` is the first of `podIPs`.
fn mirror_addresses(status: &mut Value) {
    let first = status.list("podIPs").first().map(|entry| entry.text("ip").to_owned());
    let single = status.text("podIP").to_owned();
    match first {
        Some(first) if first != single => status.set("podIP", first),
        None if !single.is_empty() => status.set("podIPs", vec![json!({"ip": single})]),
        _ => {}
    }
}

/// What holds for every pod, new or changed.
fn any(pod: &Value, errors: &mut Errors) {
    let metadata = pod.or_null("metadata");
    let metadata_at = At::Root.field("metadata");
    let spec = pod.or_null("spec");
    let at = At::Root.field("spec");
    annotations(metadata, spec, &metadata_at.field("annotations"), errors);
    spec::validate(spec, &Context { is_pod: true, name: metadata.text("name") }, &at, errors);
    if spec.text("serviceAccountName").is_empty() {
        token_without_account(spec, &at, errors);
    }
    for list in ["containers", "initContainers"] {
        let at = at.field(list);
        for (index, container) in spec.list(list).iter().enumerate() {
            containers::image_whitespace(container, &at.index(index), errors);
        }
    }
}

fn token_without_account(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("volumes");
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        let at = at.index(index);
        let at = at.field("projected");
        let at = at.field("sources");
        for (index, source) in volume.or_null("projected").list("sources").iter().enumerate() {
            if source.has("serviceAccountToken") {
                let at = at.index(index);
                let detail = "must not be specified when serviceAccountName is not set";
                errors.forbidden(&at.field("serviceAccountToken"), detail);
            }
        }
    }
}

/// Annotations that mean something for pods.
pub(crate) fn annotations(metadata: &Value, spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let Some(annotations) = metadata.map("annotations") else { return };
    if let Some(mirror) = annotations.get(MIRROR)
        && spec.text("nodeName").is_empty()
    {
        errors.invalid(&at.key(MIRROR), mirror.clone(), "must set spec.nodeName if mirror pod annotation is set");
    }
    if let Some(cost) = annotations.get(DELETION_COST).and_then(Value::as_str)
        && !is_deletion_cost(cost)
    {
        errors.invalid(&at.key(DELETION_COST), cost, "must be a 32bit integer");
    }
}

/// A 32-bit integer without a plus sign or leading zeros.
fn is_deletion_cost(cost: &str) -> bool {
    let digits = cost.strip_prefix('-').unwrap_or(cost);
    let canonical = !cost.starts_with('+') && (!digits.starts_with('0') || cost == "0");
    canonical && cost.parse::<i32>().is_ok()
}
