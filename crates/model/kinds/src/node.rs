//! Nodes.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::pod::scheduling::taint_effect;
use crate::read::{Fill, Read};
use crate::resources;
use crate::seen::Seen;
use crate::strategy::Strategy;
use crate::warnings::{self, Warnings};

pub(crate) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec") {
            // `podCIDR` is the first of `podCIDRs`.
            let single = spec.text("podCIDR").to_owned();
            let first = spec.texts("podCIDRs").next().map(str::to_owned);
            match first {
                Some(first) if single.is_empty() => spec.set("podCIDR", first),
                None if !single.is_empty() => spec.set("podCIDRs", vec![Value::from(single)]),
                _ => {}
            }
        }
        if let Some(status) = object.inside("status") {
            resources::canonicalise_list(status, "capacity");
            resources::canonicalise_list(status, "allocatable");
            if !status.has("allocatable") && status.has("capacity") {
                let capacity = status.or_null("capacity").clone();
                status.set("allocatable", capacity);
            }
        }
    }

    fn prepare_for_status_update(&self, new: &mut Value, _old: &Value) {
        self.default(new);
    }

    /// A kubelet tells what its node has when it registers it.
    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("metadata");
        taints(spec, &at.field("taints"), &mut errors);
        amounts(object.or_null("status"), &mut errors);
        let at = At::Root.field("spec");
        pod_cidrs(spec, &at.field("podCIDRs"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let spec = new.or_null("spec");
        let at = At::Root.field("spec");
        if spec.has("configSource") {
            warnings.push(&at.field("configSource"), "the feature is removed");
        }
        if !spec.text("externalID").is_empty() {
            warnings.push(&at.field("externalID"), "this field is deprecated, and is unused by Kubernetes");
        }
        let at = at.field("podCIDRs");
        for (index, range) in spec.texts("podCIDRs").enumerate() {
            warnings::range(range, &at.index(index), &mut warnings);
        }
        warnings.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        any_update(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        self.validate_update(new, old)
    }
}

fn any_update(new: &Value, old: &Value, errors: &mut Errors) {
    let (status, spec, old_spec) = (new.or_null("status"), new.or_null("spec"), old.or_null("spec"));
    amounts(status, errors);
    let at = At::Root.field("status");
    let at = at.field("addresses");
    let addresses = status.list("addresses");
    let mut seen = Seen::new();
    for (index, address) in addresses.iter().enumerate() {
        if seen.again(address) {
            errors.duplicate(&at.index(index), address.clone());
        }
    }
    let at = At::Root.field("spec");
    if !old_spec.list("podCIDRs").is_empty() && spec.list("podCIDRs") != old_spec.list("podCIDRs") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.forbidden(&at.field("podCIDRs"), detail);
    }
    let (provider, old_provider) = (spec.text("providerID"), old_spec.text("providerID"));
    if !old_provider.is_empty() && provider != old_provider {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.forbidden(&at.field("providerID"), detail);
    }
    let metadata_at = At::Root.field("metadata");
    taints(spec, &metadata_at.field("taints"), errors);
    if spec.text("externalID") != old_spec.text("externalID") {
        errors.forbidden(&at.field("externalID"), "may not be updated");
    }
}

/// The reference reports taints below `metadata`; so be it.
fn taints(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let taints = spec.list("taints");
    let mut seen = Seen::new();
    for (index, taint) in taints.iter().enumerate() {
        let at = at.index(index);
        let (key, effect) = (taint.text("key"), taint.text("effect"));
        errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
        let complaints = names::label_value(taint.text("value"));
        if !complaints.is_empty() {
            errors.invalid(&at.field("value"), taint.text("value"), complaints.join(";"));
        }
        if effect.is_empty() {
            errors.required(&at.field("effect"), "");
        } else {
            taint_effect(effect, &at.field("effect"), errors);
        }
        if seen.again((key, effect)) {
            errors.duplicate_because(&at, taint.clone(), "taints must be unique by key and effect pair");
        }
    }
}

fn amounts(status: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    for list in ["capacity", "allocatable"] {
        let at = at.field(list);
        for (name, value) in status.map(list).into_iter().flatten() {
            resources::amount(name, value, &at.field(name), errors);
        }
    }
}

fn pod_cidrs(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let ranges = spec.list("podCIDRs");
    let mut families = (0, 0);
    let mut seen = Seen::new();
    for (index, range) in ranges.iter().enumerate() {
        match check::cidr(range.as_str().unwrap_or_default(), &at.index(index), errors) {
            Some((address, _)) if address.is_ipv4() => families.0 += 1,
            Some(_) => families.1 += 1,
            None => {}
        }
        if seen.again(range) {
            errors.duplicate(&at.index(index), range.clone());
        }
    }
    if families.0 > 1 || families.1 > 1 {
        errors.invalid(at, ranges.to_vec(), "may specify no more than one CIDR for each IP family");
    }
}
