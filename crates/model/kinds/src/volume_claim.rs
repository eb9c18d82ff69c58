//! Persistent volume claims, and the claim templates inside pods and stateful sets.

use serde_json::{Map, Value};

use crate::check;
use crate::error::Errors;
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::resources;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Defaults of a claim's spec.
pub(crate) fn default_spec(spec: &mut Value) {
    spec.fill("volumeMode", "Filesystem");
    resources::canonicalise_requirements(spec, "resources");
    spec.fill("resources", Map::new());
    // The two ways to name a source always say the same, unless the new one reaches into another namespace.
    match (spec.at("dataSource").cloned(), spec.at("dataSourceRef").cloned()) {
        (Some(source), None) => spec.set("dataSourceRef", source),
        (None, Some(source)) if source.text("namespace").is_empty() => {
            let group = source.text("apiGroup");
            let volume_source = matches!((group, source.text("kind")), ("", "PersistentVolumeClaim"))
                || (group == "snapshot.storage.k8s.io" && source.text("kind") == "VolumeSnapshot");
            if volume_source {
                spec.set("dataSource", source);
            }
        }
        _ => {}
    }
}

/// Checks a claim's spec.
pub(crate) fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    access_modes(spec, at, errors);
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
    for field in ["storageClassName", "volumeAttributesClassName"] {
        check::named(spec, field, names::dns_subdomain, at, errors);
    }
    check::one_of_if(spec, "volumeMode", &["Block", "Filesystem"], at, errors);
    for field in ["dataSource", "dataSourceRef"] {
        if let Some(source) = spec.at(field) {
            data_source(source, &at.field(field), errors);
        }
    }
}

/// Checks `accessModes`.
pub(crate) fn access_modes(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("accessModes");
    let modes = spec.list("accessModes");
    if modes.is_empty() {
        errors.required(&at, "at least 1 access mode is required");
    }
    for mode in spec.texts("accessModes").filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.not_supported(&at, mode, &ACCESS_MODES);
    }
    if modes.len() > 1 && spec.texts("accessModes").any(|mode| mode == "ReadWriteOncePod") {
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
}
