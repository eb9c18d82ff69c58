//! One device of a slice: what it is, what it can, what it takes from others.

use std::collections::BTreeMap;

use minato_quantity::Quantity;
use serde_json::Value;

use super::claim::EFFECTS;
use super::{label, texts, unique};
use crate::check;
use crate::device_names::qualified;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::pod::scheduling::node_selector;
use crate::read::Read;
use crate::resources::quantity_of;
use crate::seen::Seen;

const ATTRIBUTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
const COUNTERS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 4;
const OPTIONS_MAX: usize = 10;

/// The counters of a slice: names by the set they are in.
pub(super) type Counters<'a> = BTreeMap<&'a str, Vec<&'a str>>;

pub(super) fn validate(device: &Value, counters: &Counters<'_>, by_device: bool, at: &At<'_>, errors: &mut Errors) {
    label(device, "name", at, errors);
    let entries = |name: &str| device.map(name).map_or(0, serde_json::Map::len);
    let total = entries("attributes") + entries("capacity");
    if total > ATTRIBUTES_MAX {
        let detail = format!("the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}");
        errors.invalid(at, total, detail);
    }
    let attributes_at = at.field("attributes");
    for (name, attribute) in device.map("attributes").into_iter().flatten() {
        let at = attributes_at.key(name);
        qualified(name, &at, errors);
        self::attribute(attribute, &at, errors);
    }
    let capacity_at = at.field("capacity");
    for (name, capacity) in device.map("capacity").into_iter().flatten() {
        let at = capacity_at.key(name);
        qualified(name, &at, errors);
        if let Some(policy) = capacity.at("requestPolicy") {
            let at = at.field("requestPolicy");
            if device.is("allowMultipleAllocations") {
                request_policy(capacity, policy, &at, errors);
            } else {
                errors.forbidden(&at, "allowMultipleAllocations must be true");
            }
        }
    }
    let taints_at = at.field("taints");
    for (index, taint) in device.list("taints").iter().enumerate() {
        self::taint(taint, &taints_at.index(index), errors);
    }
    consumed(device, counters, at, errors);
    nodes(device, by_device, at, errors);
    conditions(device, at, errors);
}

fn attribute(attribute: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(version) = attribute.text_if("version")
        && !is_semantic_version(version)
    {
        let detail = "must be a string compatible with semver.org spec 2.0.0";
        errors.invalid(&at.field("version"), version, detail);
    }
    for name in ["string", "version"] {
        if attribute.text(name).len() > VALUE_BYTES_MAX {
            errors.too_long(&at.field(name), VALUE_BYTES_MAX);
        }
    }
    match ["bool", "int", "string", "version"].iter().filter(|name| attribute.has(name)).count() {
        0 => errors.required(at, "exactly one value must be specified"),
        1 => {}
        _ => errors.invalid(at, attribute.clone(), "exactly one value must be specified"),
    }
}

/// `1.2.3-alpha.1+build` (semver.org 2.0.0).
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| is_number(part) && (part == "0" || !part.starts_with('0'));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && before.is_none_or(|before| before.split('.').all(|part| word(part) && (!is_number(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// Which parts of a shared capacity may be asked for.
fn request_policy(capacity: &Value, policy: &Value, at: &At<'_>, errors: &mut Errors) {
    let most = quantity_of(capacity, "value").unwrap_or(Quantity::ZERO);
    let values = policy.list("validValues");
    let default = quantity_of(policy, "default");
    match (values.is_empty(), policy.at("validRange"), default) {
        (false, Some(_), _) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            errors.forbidden(at, detail);
        }
        (false, None, None) => errors.required(&at.field("default"), "required when validValues is defined"),
        (true, Some(_), None) => errors.required(&at.field("default"), "required when validRange is defined"),
        (false, None, Some(default)) => options(values, default, most, &at.field("validValues"), errors),
        (true, Some(range), Some(default)) => self::range(range, default, most, &at.field("validRange"), errors),
        (true, None, _) => {}
    }
}

fn options(values: &[Value], default: Quantity, most: Quantity, at: &At<'_>, errors: &mut Errors) {
    let values: Vec<Quantity> = values.iter().filter_map(crate::resources::quantity).collect();
    for (index, pair) in values.windows(2).enumerate() {
        if pair[0] > pair[1] {
            errors.invalid(&at.index(index + 1), pair[1].to_string(), "values must be sorted in ascending order");
        }
    }
    let mut seen = Seen::new();
    for (index, value) in values.iter().enumerate() {
        let at = at.index(index);
        if *value > most {
            errors.invalid(&at, value.to_string(), format!("option is larger than capacity value: {most}"));
        }
        if seen.again(value) {
            errors.duplicate(&at, value.to_string());
        }
    }
    if values.len() > OPTIONS_MAX {
        errors.too_many(at, values.len(), OPTIONS_MAX);
    }
    if !values.contains(&default) {
        errors.invalid(at, default.to_string(), "default value is not valid according to the requestPolicy");
    }
}

fn range(range: &Value, default: Quantity, most: Quantity, at: &At<'_>, errors: &mut Errors) {
    let Some(min) = quantity_of(range, "min") else {
        errors.required(&at.field("min"), "required when validRange is defined");
        return;
    };
    let mut complain = |field: &str, value: Quantity, detail: String| {
        errors.invalid(&at.field(field), value.to_string(), detail);
    };
    if min > most {
        complain("min", min, format!("min is larger than capacity value: {most}"));
    }
    if default < min {
        complain("min", default, format!("default is less than min: {min}"));
    }
    let max = quantity_of(range, "max");
    if let Some(max) = max {
        if min > max {
            complain("max", min, format!("min is larger than max: {max}"));
        }
        if max > most {
            complain("max", max, format!("max is larger than capacity value: {most}"));
        }
        if default > max {
            complain("max", default, format!("default is more than max: {max}"));
        }
    }
    if let Some(step) = quantity_of(range, "step").filter(|step| step.signum() > 0) {
        if min.nanos().saturating_add(step.nanos()) > most.nanos() {
            complain("step", step, format!("one step {step} is larger than capacity value: {most}"));
        }
        for value in [Some(default), max].into_iter().flatten() {
            if value.nanos().saturating_sub(min.nanos()) % step.nanos() != 0 {
                complain("step", value, format!("value is not a multiple of a given step ({step}) from ({min})"));
            }
        }
    }
}

fn taint(taint: &Value, at: &At<'_>, errors: &mut Errors) {
    let key = taint.text("key");
    errors.each_invalid(&at.field("key"), key, names::qualified_name(key));
    check::named(taint, "value", names::label_value, at, errors);
    match taint.text("effect") {
        "" => errors.required(&at.field("effect"), ""),
        effect if EFFECTS.contains(&effect) => {}
        effect => errors.not_supported(&at.field("effect"), effect, &EFFECTS),
    }
}

fn consumed(device: &Value, counters: &Counters<'_>, at: &At<'_>, errors: &mut Errors) {
    let list_at = at.field("consumesCounters");
    let sets = device.list("consumesCounters");
    let names = |set: &Value| set.map("counters").map_or(0, serde_json::Map::len);
    for (index, set) in sets.iter().enumerate() {
        let at = list_at.index(index);
        check::required(set, "counterSet", &at, errors);
        super::slice::counters(set, &at, errors);
    }
    unique(device, "consumesCounters", "counterSet", at, errors);
    let total: usize = sets.iter().map(names).sum();
    if total > COUNTERS_MAX {
        errors.invalid(at, total, format!("the total number of counters must not exceed {COUNTERS_MAX}"));
    }
    for (index, set) in sets.iter().enumerate() {
        let at = list_at.index(index);
        let name = set.text("counterSet");
        let Some(known) = counters.get(name) else {
            let detail = "must reference a counterSet defined in the ResourceSlice sharedCounters";
            errors.invalid(&at.field("counterSet"), name, detail);
            continue;
        };
        for counter in set.map("counters").into_iter().flat_map(serde_json::Map::keys) {
            if !known.contains(&counter.as_str()) {
                let detail = "must reference a counter defined in the ResourceSlice sharedCounters";
                errors.invalid(&at.field("counters"), counter.as_str(), detail);
            }
        }
    }
}

/// Where the device can be used, where that differs from device to device.
fn nodes(device: &Value, by_device: bool, at: &At<'_>, errors: &mut Errors) {
    const EXACTLY_ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !by_device {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.has(field)) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.invalid(at, Value::Null, detail);
        }
        return;
    }
    let mut set = Vec::new();
    match device.text_if("nodeName") {
        Some("") => errors.invalid(&at.field("nodeName"), "", "must not be empty"),
        Some(name) => {
            set.push("`nodeName`");
            errors.each_invalid(&at.field("nodeName"), name, names::dns_subdomain(name));
        }
        None => {}
    }
    if let Some(selector) = device.at("nodeSelector") {
        set.push("`nodeSelector`");
        node_selector(selector, &at.field("nodeSelector"), errors);
    }
    match device.flag("allNodes") {
        Some(true) => set.push("`allNodes`"),
        Some(false) => errors.invalid(&at.field("allNodes"), false, "must be either unset or set to true"),
        None => {}
    }
    match set.len() {
        0 => errors.required(at, EXACTLY_ONE),
        1 => {}
        _ => errors.invalid(at, format!("{{{}}}", set.join(", ")), EXACTLY_ONE),
    }
}

/// What must become true before a pod is bound to a node with the device, and what ends the wait.
pub(super) fn conditions(device: &Value, at: &At<'_>, errors: &mut Errors) {
    for list in ["bindingConditions", "bindingFailureConditions"] {
        texts(device, list, CONDITIONS_MAX, at, errors, &mut |name, at, errors| {
            errors.each_invalid(at, name, names::qualified_name(name));
        });
    }
    let failures_at = at.field("bindingFailureConditions");
    for (index, failure) in device.texts("bindingFailureConditions").enumerate() {
        if device.texts("bindingConditions").any(|condition| condition == failure) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            errors.invalid(&failures_at.index(index), failure, detail);
        }
    }
    for (missing, used) in
        [("bindingConditions", "bindingFailureConditions"), ("bindingFailureConditions", "bindingConditions")]
    {
        if device.list(missing).is_empty() && !device.list(used).is_empty() {
            let value = device.or_null(missing).clone();
            errors.invalid(&at.field(missing), value, format!("{missing} are required to use {used}"));
        }
    }
}
