//! ResourceSlices: the devices of one pool, as its driver tells them.

use jiff::Timestamp;
use serde_json::Value;

use super::device::{self, Counters};
use super::{at_most, pool_name, unique};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::pod::scheduling::node_selector;
use crate::pod::volumes::remote;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

const DEVICES_MAX: usize = 128;
const DEVICE_COUNTERS_MAX: usize = 2048;
const SHARED_COUNTERS_MAX: usize = 32;

pub(crate) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        let Some(spec) = object.inside("spec") else { return };
        for taint in spec.each("devices").flat_map(|device| device.each("taints")) {
            taint.fill("timeAdded", now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(object.or_null("spec"), None, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(new.or_null("spec"), old.at("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        !same(new.at("spec"), old.at("spec"))
    }
}

fn spec(spec: &Value, old: Option<&Value>, at: &At<'_>, errors: &mut Errors) {
    remote::csi_driver(spec.text("driver"), &at.field("driver"), errors);
    let pool = spec.or_null("pool");
    let pool_at = at.field("pool");
    pool_name(pool.text("name"), &pool_at.field("name"), errors);
    let slices = pool.int("resourceSliceCount").unwrap_or(0);
    if slices <= 0 {
        errors.invalid(&pool_at.field("resourceSliceCount"), slices, "must be greater than zero");
    }
    if let Some(generation) = pool.int("generation").filter(|generation| *generation < 0) {
        errors.invalid(&pool_at.field("generation"), generation, "must be greater than or equal to zero");
    }
    if let Some(old) = old {
        check::immutable(pool, old.or_null("pool"), "name", &pool_at, errors);
        check::immutable(spec, old, "driver", at, errors);
        check::immutable(spec, old, "nodeName", at, errors);
    }
    nodes(spec, at, errors);
    let shared = spec.list("sharedCounters");
    let keys = |set: &'_ Value| set.map("counters").map_or(0, serde_json::Map::len);
    let known: Counters<'_> = shared
        .iter()
        .map(|set| {
            let counters = set.map("counters").into_iter().flat_map(serde_json::Map::keys);
            (set.text("name"), counters.map(String::as_str).collect())
        })
        .collect();
    let devices_at = at.field("devices");
    let devices = spec.list("devices");
    for (index, device) in devices.iter().enumerate() {
        device::validate(device, &known, spec.is("perDeviceNodeSelection"), &devices_at.index(index), errors);
    }
    at_most(spec, "devices", DEVICES_MAX, at, errors);
    unique(spec, "devices", "name", at, errors);
    let used: usize = devices.iter().flat_map(|device| device.list("consumesCounters")).map(keys).sum();
    if used > DEVICE_COUNTERS_MAX {
        let detail = format!("the total number of counters in devices must not exceed {DEVICE_COUNTERS_MAX}");
        errors.invalid(&devices_at, used, detail);
    }
    let shared_at = at.field("sharedCounters");
    let total: usize = shared.iter().map(keys).sum();
    if total > SHARED_COUNTERS_MAX {
        let detail = format!("the total number of shared counters must not exceed {SHARED_COUNTERS_MAX}");
        errors.invalid(&shared_at, total, detail);
    }
    for (index, set) in shared.iter().enumerate() {
        let at = shared_at.index(index);
        check::required_named(set, "name", names::dns_label, &at, errors);
        counters(set, &at, errors);
    }
    unique(spec, "sharedCounters", "name", at, errors);
}

/// `counters` of a set: at least one, each with a label for a name.
pub(super) fn counters(set: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("counters");
    let Some(counters) = set.map("counters").filter(|counters| !counters.is_empty()) else {
        errors.required(&at, "");
        return;
    };
    for name in counters.keys() {
        errors.each_invalid(&at.key(name), name, names::dns_label(name));
    }
}

/// Where the devices can be used: said in exactly one way.
fn nodes(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    const EXACTLY_ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    match spec.text_if("nodeName") {
        Some("") => {
            errors.invalid(&at.field("nodeName"), "", "must be either unset or set to a non-empty string");
        }
        Some(name) => {
            set.push("`nodeName`");
            errors.each_invalid(&at.field("nodeName"), name, names::dns_subdomain(name));
        }
        None => {}
    }
    if let Some(selector) = spec.at("nodeSelector") {
        set.push("`nodeSelector`");
        let at = at.field("nodeSelector");
        node_selector(selector, &at, errors);
        let terms = selector.list("nodeSelectorTerms");
        if terms.len() != 1 {
            let detail = "must have exactly one node selector term";
            errors.invalid(&at.field("nodeSelectorTerms"), terms.to_vec(), detail);
        }
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec.flag(field) {
            Some(true) => set.push(shown),
            Some(false) => errors.invalid(&at.field(field), false, "must be either unset or set to true"),
            None => {}
        }
    }
    match set.len() {
        0 => errors.required(at, EXACTLY_ONE),
        1 => {}
        _ => {
            let detail = format!("{EXACTLY_ONE}, but multiple fields are set");
            errors.invalid(at, format!("{{{}}}", set.join(", ")), detail);
        }
    }
}
