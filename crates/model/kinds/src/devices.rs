//! Devices that pods claim (`resource.k8s.io`): what there is, in slices; what is asked for, in claims and their templates;
//! what kinds of it there are, in classes.

mod claim;
mod device;
mod slice;
mod status;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata;
use crate::names;
use crate::path::At;
use crate::pod::volumes::remote;
use crate::read::{Fill, Read};
use crate::resources;
use crate::same::same;
use crate::seen::Seen;
use crate::strategy::Strategy;

pub(crate) use slice::ResourceSlice;

const SELECTORS_MAX: usize = 32;
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;
const CONFIG_MAX: usize = 32;
const PARAMETERS_BYTES_MAX: usize = 10 * 1024;
const POOL_NAME_BYTES_MAX: usize = 253;

/// What is asked for.
pub(crate) struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec") {
            claim::default(spec);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        claim::spec(object.or_null("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::immutable(new, old, "spec", &At::Root, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        status::validate(new, old, &mut errors);
        errors.into_vec()
    }
}

/// What is asked for by every pod that names the template.
pub(crate) struct ResourceClaimTemplate;

impl Strategy for ResourceClaimTemplate {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.make("spec").and_then(|spec| spec.make("spec")) {
            claim::default(spec);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let metadata_at = at.field("metadata");
        metadata::labels(spec.or_null("metadata"), &metadata_at.field("labels"), &mut errors);
        metadata::annotations(spec.or_null("metadata"), &metadata_at.field("annotations"), &mut errors);
        claim::spec(spec.or_null("spec"), &at.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::immutable(new, old, "spec", &At::Root, &mut errors);
        errors.into_vec()
    }
}

/// A kind of device, with what is configured for all of it.
pub(crate) struct DeviceClass;

impl Strategy for DeviceClass {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        selectors(spec, &at, &mut errors);
        let config_at = at.field("config");
        for (index, config) in spec.list("config").iter().enumerate() {
            configuration(config, &config_at.index(index), &mut errors);
        }
        at_most(spec, "config", CONFIG_MAX, &at, &mut errors);
        if let Some(name) = spec.text_if("extendedResourceName").filter(|name| !resources::is_extended(name)) {
            errors.invalid(&at.field("extendedResourceName"), name, "must be a valid extended resource name");
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        !same(new.at("spec"), old.at("spec"))
    }
}

/// Checks that the list `holder.name` has at most `max` elements.
fn at_most(holder: &Value, name: &str, max: usize, at: &At<'_>, errors: &mut Errors) {
    let items = holder.list(name).len();
    if items > max {
        errors.too_many(&at.field(name), items, max);
    }
}

/// Checks that no two elements of the list `holder.name` have the same `key`.
fn unique(holder: &Value, name: &str, key: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.field(name);
    let items = holder.list(name);
    let mut seen = Seen::new();
    for (index, item) in items.iter().enumerate() {
        let value = item.text(key);
        if seen.again(value) {
            errors.duplicate(&at.index(index).field(key), value);
        }
    }
}

/// Checks a list of texts: each by `check`, none twice, at most `max`.
fn texts(
    holder: &Value,
    name: &str,
    max: usize,
    at: &At<'_>,
    errors: &mut Errors,
    check: &mut dyn FnMut(&str, &At<'_>, &mut Errors),
) {
    let list_at = at.field(name);
    let texts: Vec<&str> = holder.texts(name).collect();
    for (index, text) in texts.iter().enumerate() {
        check(text, &list_at.index(index), errors);
    }
    at_most(holder, name, max, at, errors);
    let mut seen = Seen::new();
    for (index, text) in texts.iter().enumerate() {
        if seen.again(text) {
            errors.duplicate(&list_at.index(index), *text);
        }
    }
}

/// `selectors` of a class or of a request.
fn selectors(holder: &Value, at: &At<'_>, errors: &mut Errors) {
    let list_at = at.field("selectors");
    for (index, selector) in holder.list("selectors").iter().enumerate() {
        let at = list_at.index(index);
        let at = at.field("cel");
        match selector.at("cel") {
            None => errors.required(&at, ""),
            Some(cel) if cel.text("expression").len() > EXPRESSION_BYTES_MAX => {
                errors.too_long(&at.field("expression"), EXPRESSION_BYTES_MAX);
            }
            Some(cel) => selects(cel.text("expression"), &at.field("expression"), errors),
        }
    }
    at_most(holder, "selectors", SELECTORS_MAX, at, errors);
}

fn selects(expression: &str, at: &At<'_>, errors: &mut Errors) {
    if expression.is_empty() {
        return errors.required(at, "");
    }
    if let Err(detail) = minato_cel::device::compile_selector(expression) {
        errors.invalid(at, expression, detail);
    }
}

/// What a driver is told: opaque to all others.
fn configuration(config: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("opaque");
    match config.at("opaque") {
        None => errors.required(&at, ""),
        Some(opaque) => {
            remote::csi_driver(opaque.text("driver"), &at.field("driver"), errors);
            raw(opaque.or_null("parameters"), PARAMETERS_BYTES_MAX, &at.field("parameters"), errors);
        }
    }
}

/// An object of anybody's making.
fn raw(value: &Value, bytes_max: usize, at: &At<'_>, errors: &mut Errors) {
    match value {
        Value::Null => errors.required(at, ""),
        Value::Object(_) if value.to_string().len() > bytes_max => errors.too_long(at, bytes_max),
        Value::Object(_) => {}
        _ => errors.invalid(at, "<value omitted>", "must be a valid JSON object"),
    }
}

/// The name of a pool: subdomains with slashes between.
fn pool_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    if name.len() > POOL_NAME_BYTES_MAX {
        errors.too_long(at, POOL_NAME_BYTES_MAX);
    }
    for part in name.split('/') {
        errors.each_invalid(at, part, names::dns_subdomain(part));
    }
}

/// A label of DNS, there or not.
fn label(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    let value = holder.text(name);
    errors.each_invalid(&at.field(name), value, names::dns_label(value));
}

/// The names of a claim's requests; those with alternatives also as `request/alternative`.
fn request_names(spec: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for request in spec.or_null("devices").list("requests") {
        let name = request.text("name");
        names.insert(name.to_owned());
        names.extend(request.list("firstAvailable").iter().map(|sub| format!("{name}/{}", sub.text("name"))));
    }
    names
}

/// Checks that `name` is one of a claim's requests.
fn request_name(name: &str, known: &BTreeSet<String>, at: &At<'_>, errors: &mut Errors) {
    const UNKNOWN: &str =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    if name.matches('/').count() > 1 {
        errors.invalid(at, name, UNKNOWN);
        return;
    }
    for part in name.split('/') {
        errors.each_invalid(at, part, names::dns_label(part));
    }
    if !known.contains(name) {
        errors.invalid(at, name, UNKNOWN);
    }
}
