//! Persistent volume claims, and the claim templates inside pods and stateful sets.

use jiff::Timestamp;
use minato_quantity::Quantity;
use serde_json::{Map, Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::pod::warnings::fraction;
use crate::read::{Fill, Read};
use crate::resources;
use crate::same::{difference, same, same_value};
use crate::strategy::Strategy;
use crate::warnings::{Warnings, old_storage_class};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Defaults of a claim's spec.
pub(crate) fn default_spec(spec: &mut Value) {
    spec.fill("volumeMode", "Filesystem");
    resources::canonicalise_requirements(spec, "resources");
    spec.fill("resources", Map::new());
}

/// Makes the two ways to name a source of a new claim's contents say the same. What only the newer may name is dropped from
/// the older (KEP-1495); sources in other namespaces are alpha, and dropped.
fn populate(spec: &mut Value) {
    if !spec.or_null("dataSourceRef").text("namespace").is_empty() {
        spec.remove("dataSourceRef");
    }
    if let (Some(source), None) = (spec.at("dataSource"), spec.at("dataSourceRef")) {
        let known = [("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")];
        if !known.contains(&(source.text("apiGroup"), source.text("kind"))) {
            spec.remove("dataSource");
        }
    }
    match (spec.at("dataSource").cloned(), spec.at("dataSourceRef").cloned()) {
        (Some(source), None) => spec.set("dataSourceRef", source),
        (None, Some(mut source)) => {
            // The older has no such field; here it is empty.
            source.remove("namespace");
            spec.set("dataSource", source);
        }
        _ => {}
    }
}

/// Checks a claim's spec.
pub(crate) fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    access_modes(spec, "at least 1 access mode is required", at, errors);
    if let Some(selector) = spec.at("selector") {
        label_selector(selector, &at.field("selector"), errors);
    }
    let storage_at = at.field("resources");
    let storage_at = storage_at.key("storage");
    match spec.or_null("resources").or_null("requests").at("storage") {
        None => errors.required(&storage_at, ""),
        Some(storage) => match resources::quantity(storage) {
            Some(amount) if amount.signum() <= 0 => {
                errors.invalid(&storage_at, amount.to_string(), "must be greater than zero");
            }
            Some(_) => {}
            None => errors.invalid(&storage_at, storage.clone(), "must be a quantity"),
        },
    }
    check::named(spec, "storageClassName", names::dns_subdomain, at, errors);
    check::one_of_if(spec, "volumeMode", &["Block", "Filesystem"], at, errors);
    for field in ["dataSource", "dataSourceRef"] {
        if let Some(source) = spec.at(field) {
            data_source(source, &at.field(field), errors);
        }
    }
    if let (Some(source), Some(reference)) = (spec.at("dataSource"), spec.at("dataSourceRef")) {
        // What the reference shows as the value is a path.
        let shown = at.field("dataSource").to_string();
        if !reference.text("namespace").is_empty() {
            errors.invalid(at, shown, "may not be specified when dataSourceRef.namespace is specified");
        } else if ["apiGroup", "kind", "name"].iter().any(|part| source.text(part) != reference.text(part)) {
            errors.invalid(at, shown, "must match dataSourceRef");
        }
    }
    check::named(spec, "volumeAttributesClassName", names::dns_subdomain, at, errors);
}

/// What is said of a claim's spec.
pub(crate) fn warn(spec: &Value, at: &At<'_>, warnings: &mut Warnings) {
    let at = at.field("resources");
    for list in ["requests", "limits"] {
        let amount = resources::quantity_of(spec.or_null("resources").or_null(list), "storage");
        fraction(amount, &at.field(list).key("storage"), warnings);
    }
}

/// Checks `accessModes`; `missing` is said when there is none.
pub(crate) fn access_modes(spec: &Value, missing: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("accessModes");
    let modes = spec.list("accessModes");
    if modes.is_empty() {
        errors.required(&at, missing);
    }
    for mode in spec.texts("accessModes").filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&at, mode, &ACCESS_MODES);
    }
    let others = |mode: &str| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode);
    if spec.texts("accessModes").any(|mode| mode == "ReadWriteOncePod") && spec.texts("accessModes").any(others) {
        errors.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn data_source(source: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required(source, "name", at, errors);
    check::required(source, "kind", at, errors);
    let group = source.text("apiGroup");
    if group.is_empty() && source.text("kind") != "PersistentVolumeClaim" {
        errors.invalid(
            at,
            source.text("kind"),
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        );
    }
    check::named(source, "apiGroup", names::dns_subdomain, at, errors);
    check::named(source, "namespace", names::dns_label, at, errors);
}

/// The rules of claims.
pub(crate) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec") {
            default_spec(spec);
        }
        if let Some(status) = object.inside("status") {
            resources::canonicalise_list(status, "capacity");
            resources::canonicalise_list(status, "allocatedResources");
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"phase": "Pending"}));
        if let Some(spec) = object.inside("spec") {
            populate(spec);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(object.or_null("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        spec(new.or_null("spec"), &at, &mut errors);
        update(new, old, &at, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        old_storage_class(new, &mut warnings);
        warn(new.or_null("spec"), &At::Root.field("spec"), &mut warnings);
        warnings.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        let at = at.field("capacity");
        let status = new.or_null("status");
        for (name, value) in status.map("capacity").into_iter().flatten() {
            resources::nonnegative(value, &at.key(name), &mut errors);
        }
        resizing(status, &mut errors);
        errors.into_vec()
    }
}

const RESIZING: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// How far a change of size is.
fn resizing(status: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let statuses_at = at.field("allocatedResourceStatuses");
    for (name, value) in status.strings("allocatedResourceStatuses") {
        resource_key(name, &statuses_at, errors);
        if !RESIZING.contains(&value) {
            errors.not_supported(&statuses_at, name, &RESIZING);
        }
    }
    let at = at.field("allocatedResources");
    for (name, value) in status.map("allocatedResources").into_iter().flatten() {
        if resource_key(name, &at, errors) {
            resources::nonnegative(value, &at.key(name), errors);
        }
    }
}

/// `storage`, or a resource of somebody else's. Answers whether it is fine.
fn resource_key(name: &str, at: &At<'_>, errors: &mut Errors) -> bool {
    let complaints = names::qualified_name(name);
    let fine = complaints.is_empty() && (!resources::is_native(name) || name == "storage");
    if complaints.is_empty() && !fine {
        errors.not_supported(at, name, &["storage"]);
    }
    errors.each_invalid(at, name, complaints);
    fine
}

fn update(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
    let mut munged = new_spec.clone();
    let mut before = old_spec.clone();
    // The binding writes the volume's name, once; a class may be given to a claim that has none.
    if old_spec.text("volumeName").is_empty() {
        before.copy("volumeName", new_spec);
    }
    if !old_spec.has("storageClassName") {
        before.copy("storageClassName", new_spec);
    }
    let bound = new.or_null("status").text("phase") == "Bound";
    if bound {
        munged.copy("volumeAttributesClassName", old_spec);
    }
    if bound && let Some(requests) = munged.inside("resources").and_then(|resources| resources.inside("requests")) {
        requests.copy("storage", old_spec.or_null("resources").or_null("requests"));
    }
    if !same_value(&munged, &before) {
        let changes = difference(&before, &munged, "spec");
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{changes}"
        );
        errors.forbidden(at, detail);
    }
    let size = |spec: &Value| resources::quantity_of(spec.or_null("resources").or_null("requests"), "storage");
    let (new_size, old_size) = (size(new_spec).unwrap_or(Quantity::ZERO), size(old_spec).unwrap_or(Quantity::ZERO));
    if new_size < old_size {
        let at = at.field("resources");
        let at = at.field("requests");
        let capacity = resources::quantity_of(old.or_null("status").or_null("capacity"), "storage");
        if new_size <= capacity.unwrap_or(Quantity::ZERO) {
            errors.forbidden(&at.field("storage"), "field can not be less than status.capacity");
        }
    }
    check::immutable(new_spec, old_spec, "volumeMode", &At::Root, errors);
    let class_at = at.field("volumeAttributesClassName");
    let (new_class, old_class) = (new_spec.at("volumeAttributesClassName"), old_spec.at("volumeAttributesClassName"));
    if !same(new_class, old_class) && old.or_null("status").has("currentVolumeAttributesClassName") {
        let what = match new_spec.text_if("volumeAttributesClassName") {
            None => "nil",
            Some("") => "empty string",
            Some(_) => return,
        };
        let detail = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
        errors.forbidden(&class_at, detail);
    }
}
