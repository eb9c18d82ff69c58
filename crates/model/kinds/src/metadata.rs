//! The rules of `metadata`, the same for every kind: `ValidateObjectMeta` and `ValidateObjectMetaUpdate` of apimachinery.

use serde_json::Value;

use crate::declaration::NameRule;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const MANAGER_BYTES_MAX: usize = 128;
const SUBRESOURCE_BYTES_MAX: usize = 256;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What is wrong with the metadata of a new object, whose name is already made.
pub fn validate(object: &Value, namespaced: bool, name_rule: NameRule) -> Vec<FieldError> {
    let metadata = object.or_null("metadata");
    let at = At::Root.field("metadata");
    validate_at(metadata, &at, namespaced, name_rule)
}

/// What is wrong with `metadata`, the metadata of an object that is itself at `at` less its last part.
pub fn validate_at(metadata: &Value, at: &At<'_>, namespaced: bool, name_rule: NameRule) -> Vec<FieldError> {
    let mut errors = Errors::new();
    if name_rule != NameRule::Any {
        let generate_name = metadata.text("generateName");
        if !generate_name.is_empty() {
            errors.each_invalid(&at.field("generateName"), generate_name, name_rule.check(generate_name, true));
        }
        let name = metadata.text("name");
        if name.is_empty() {
            errors.required(&at.field("name"), "name or generateName is required");
        } else {
            errors.each_invalid(&at.field("name"), name, name_rule.check(name, false));
        }
    }
    let namespace = metadata.text("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.required(&at.field("namespace"), ""),
        (true, false) => errors.each_invalid(&at.field("namespace"), namespace, names::dns_label(namespace)),
        (false, false) => errors.forbidden(&at.field("namespace"), "not allowed on this type"),
        (false, true) => {}
    }
    if let Some(generation) = metadata.int("generation").filter(|generation| *generation < 0) {
        errors.invalid(&at.field("generation"), generation, "must be greater than or equal to 0");
    }
    parts(metadata, at, &mut errors);
    errors.into_vec()
}

/// What is wrong with a change of the metadata.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (new, old) = (new.or_null("metadata"), old.or_null("metadata"));
    let at = At::Root.field("metadata");
    let mut errors = Errors::new();
    if old.has("deletionTimestamp") {
        no_new_finalizers(new, old, &at.field("finalizers"), &mut errors);
    }
    if new.int("generation").unwrap_or(0) < old.int("generation").unwrap_or(0) {
        errors.invalid(&at.field("generation"), new.int("generation").unwrap_or(0), "must not be decremented");
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.or_null(field), old.or_null(field));
        if new != old && !(is_zero(new) && is_zero(old)) {
            errors.invalid(&at.field(field), new.clone(), "field is immutable");
        }
    }
    parts(new, &at, &mut errors);
    errors.into_vec()
}

fn is_zero(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// An update of a kind that does not allow unconditional updates must say what it updates.
pub fn validate_resource_version(object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    if object.or_null("metadata").text("resourceVersion").is_empty() {
        let at = At::Root.field("metadata");
        errors.invalid(&at.field("resourceVersion"), "", "must be specified for an update");
    }
    errors.into_vec()
}

/// Built-in kinds accept finalizers without a domain only if they are the well-known ones.
pub fn validate_builtin_finalizers(object: &Value) -> Vec<FieldError> {
    let at = At::Root.field("metadata");
    let at = at.field("finalizers");
    let mut errors = Errors::new();
    for (index, finalizer) in object.or_null("metadata").list("finalizers").iter().enumerate() {
        builtin_finalizer(finalizer.as_str().unwrap_or_default(), &at.index(index), &mut errors);
    }
    errors.into_vec()
}

pub(crate) fn builtin_finalizer(finalizer: &str, at: &At<'_>, errors: &mut Errors) {
    if !finalizer.contains('/') && !matches!(finalizer, "kubernetes" | ORPHAN | FOREGROUND) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.invalid(at, finalizer, detail);
    }
}

fn no_new_finalizers(new: &Value, old: &Value, at: &At<'_>, errors: &mut Errors) {
    let before = Seen::of(old.texts("finalizers"));
    let mut extra: Vec<&str> = new.texts("finalizers").filter(|finalizer| !before.has(*finalizer)).collect();
    if !extra.is_empty() {
        extra.sort_unstable();
        extra.dedup();
        let extra: Vec<String> = extra.into_iter().map(crate::error::quote).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            extra.join(", ")
        );
        errors.forbidden(at, detail);
    }
}

/// What new and changed metadata have in common.
fn parts(metadata: &Value, at: &At<'_>, errors: &mut Errors) {
    labels(metadata, &at.field("labels"), errors);
    annotations(metadata, &at.field("annotations"), errors);
    owner_references(metadata, &at.field("ownerReferences"), errors);
    finalizers(metadata, &at.field("finalizers"), errors);
    managed_fields(metadata, &at.field("managedFields"), errors);
}

/// Checks `holder.labels`.
pub(crate) fn labels(holder: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(labels) = holder.map("labels") {
        label_map(labels, at, errors);
    }
}

/// Checks a map of labels.
pub(crate) fn label_map(labels: &serde_json::Map<String, Value>, at: &At<'_>, errors: &mut Errors) {
    for (key, value) in labels {
        errors.each_invalid(at, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.each_invalid(at, value, names::label_value(value));
    }
}

/// Checks `holder.annotations`.
pub(crate) fn annotations(holder: &Value, at: &At<'_>, errors: &mut Errors) {
    let mut bytes = 0;
    for (key, value) in holder.strings("annotations") {
        bytes += key.len() + value.len();
        // Keys are qualified names, but upper case is fine in the prefix too.
        let complaints = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            names::qualified_name(&key.to_lowercase())
        } else {
            names::qualified_name(key)
        };
        errors.each_invalid(at, key, complaints);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.too_long(at, ANNOTATIONS_BYTES_MAX);
    }
}

fn owner_references(metadata: &Value, at: &At<'_>, errors: &mut Errors) {
    let references = metadata.list("ownerReferences");
    let mut controller: Option<String> = None;
    for reference in references {
        let (api_version, kind) = (reference.text("apiVersion"), reference.text("kind"));
        // `v1` or `group/v1`; anything with more slashes has no version.
        let version = match api_version.split_once('/') {
            None => api_version,
            Some((_, version)) if version.contains('/') => "",
            Some((_, version)) => version,
        };
        if version.is_empty() {
            errors.invalid(&at.field("apiVersion"), api_version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if reference.text(field).is_empty() {
                errors.invalid(&at.field(field), "", "must not be empty");
            }
        }
        if api_version == "v1" && kind == "Event" {
            errors.invalid(at, reference.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if reference.is("controller") {
            let this = format!("{kind}/{}", reference.text("name"));
            match &controller {
                // The complaint shows all references, however many they are.
                Some(_) if errors.is_full() => break,
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.invalid(at, Value::Array(references.to_vec()), detail);
                }
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(metadata: &Value, at: &At<'_>, errors: &mut Errors) {
    let (mut orphan, mut foreground) = (false, false);
    for finalizer in metadata.texts("finalizers") {
        errors.each_invalid(at, finalizer, names::qualified_name(finalizer));
        orphan |= finalizer == ORPHAN;
        foreground |= finalizer == FOREGROUND;
    }
    if orphan && foreground {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.invalid(at, metadata.or_null("finalizers").clone(), detail);
    }
}

fn managed_fields(metadata: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, entry) in metadata.list("managedFields").iter().enumerate() {
        let at = at.index(index);
        let operation = entry.text("operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.invalid(&at.field("operation"), operation, "must be `Apply` or `Update`");
        }
        let fields_type = entry.text("fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.invalid(&at.field("fieldsType"), fields_type, "must be `FieldsV1`");
        }
        let manager = entry.text("manager");
        if manager.len() > MANAGER_BYTES_MAX {
            errors.too_long(&at.field("manager"), MANAGER_BYTES_MAX);
        }
        if entry.text("subresource").len() > SUBRESOURCE_BYTES_MAX {
            errors.too_long(&at.field("subresource"), SUBRESOURCE_BYTES_MAX);
        }
    }
}

/// Checks a label selector object (`matchLabels`, `matchExpressions`).
pub(crate) fn label_selector(selector: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(labels) = selector.map("matchLabels") {
        label_map(labels, &at.field("matchLabels"), errors);
    }
    let at = at.field("matchExpressions");
    for (index, requirement) in selector.list("matchExpressions").iter().enumerate() {
        let at = at.index(index);
        let values = requirement.list("values");
        match requirement.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&at.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.forbidden(
                    &at.field("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => errors.invalid(&at.field("operator"), operator, "not a valid selector operator"),
        }
        let key = requirement.text("key");
        errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
        let at = at.field("values");
        for (index, value) in requirement.texts("values").enumerate() {
            errors.each_invalid(&at.index(index), value, names::label_value(value));
        }
    }
}

/// Whether a label selector object selects everything.
pub(crate) fn selects_everything(selector: &Value) -> bool {
    selector.map("matchLabels").is_none_or(serde_json::Map::is_empty) && selector.list("matchExpressions").is_empty()
}
