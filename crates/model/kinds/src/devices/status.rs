//! What was allocated for a claim, who uses it, and what drivers say of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claim::requests;
use super::device::conditions as binding_conditions;
use super::{CONFIG_MAX, at_most, configuration, label, pool_name, raw, request_name, request_names, unique};
use crate::check;
use crate::conditions;
use crate::error::Errors;
use crate::path::At;
use crate::pod::scheduling::node_selector;
use crate::pod::volumes::remote;
use crate::read::Read;
use crate::seen::Seen;

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const DATA_BYTES_MAX: usize = 10 * 1024;
const STATUS_CONDITIONS_MAX: usize = 8;

/// Driver, pool, device, share.
type DeviceId<'a> = (&'a str, &'a str, &'a str, &'a str);

fn id(value: &Value) -> DeviceId<'_> {
    (value.text("driver"), value.text("pool"), value.text("device"), value.text("shareID"))
}

pub(super) fn validate(new: &Value, old: &Value, errors: &mut Errors) {
    let (status, before) = (new.or_null("status"), old.or_null("status"));
    let at = At::Root.field("status");
    let reserved_at = at.field("reservedFor");
    for (index, consumer) in status.list("reservedFor").iter().enumerate() {
        for field in ["resource", "name", "uid"] {
            check::required(consumer, field, &reserved_at.index(index), errors);
        }
    }
    at_most(status, "reservedFor", CONSUMERS_MAX, &at, errors);
    unique(status, "reservedFor", "uid", &at, errors);
    let allocation = status.or_null("allocation");
    let allocated: Vec<DeviceId<'_>> = allocation.or_null("devices").list("results").iter().map(id).collect();
    let devices_at = at.field("devices");
    let devices = status.list("devices");
    let mut seen = Seen::new();
    for (index, device) in devices.iter().enumerate() {
        let at = devices_at.index(index);
        self::device(device, &allocated, &at, errors);
        if seen.again(id(device)) {
            errors.duplicate(&at.field("deviceID"), shown(device));
        }
    }
    if !status.list("reservedFor").is_empty() {
        let grown = status.list("reservedFor").iter().any(|consumer| !before.list("reservedFor").contains(consumer));
        if allocation.is_null() {
            errors.forbidden(&reserved_at, "may not be specified when `allocated` is not set");
        } else if new.or_null("metadata").has("deletionTimestamp") && grown {
            let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.forbidden(&reserved_at, detail);
        }
    }
    match (status.at("allocation"), before.has("allocation")) {
        (Some(_), true) => check::immutable(status, before, "allocation", &at, errors),
        (Some(allocation), false) => {
            self::allocation(allocation, &request_names(new.or_null("spec")), &at.field("allocation"), errors);
        }
        (None, _) => {}
    }
}

fn shown(device: &Value) -> String {
    let (driver, pool, name, share) = id(device);
    if share.is_empty() { format!("{driver}/{pool}/{name}") } else { format!("{driver}/{pool}/{name}/{share}") }
}

fn device(device: &Value, allocated: &[DeviceId<'_>], at: &At<'_>, errors: &mut Errors) {
    identity(device, at, errors);
    if !allocated.contains(&id(device)) {
        errors.invalid(at, shown(device), "must be an allocated device in the claim");
    }
    at_most(device, "conditions", STATUS_CONDITIONS_MAX, at, errors);
    conditions::validate(device, at, errors);
    if let Some(data) = device.at("data") {
        raw(data, DATA_BYTES_MAX, &at.field("data"), errors);
    }
    let network = device.or_null("networkData");
    let at = at.field("networkData");
    for (field, bytes_max) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if network.text(field).len() > bytes_max {
            errors.too_long(&at.field(field), bytes_max);
        }
    }
    super::texts(network, "ips", 16, &at, errors, &mut |text, at, errors| match check::parse_cidr(text) {
        None => {
            let detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
            errors.invalid(at, text, detail);
        }
        Some((address, length)) => {
            let canonical = format!("{address}/{length}");
            if canonical != text {
                errors.invalid(at, text, format!("must be in canonical form ({canonical:?})"));
            }
        }
    });
}

fn identity(device: &Value, at: &At<'_>, errors: &mut Errors) {
    remote::csi_driver(device.text("driver"), &at.field("driver"), errors);
    pool_name(device.text("pool"), &at.field("pool"), errors);
    label(device, "device", at, errors);
    if let Some(share) = device.text_if("shareID")
        && !is_uid(share)
    {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
        errors.invalid(&at.field("shareID"), share, detail);
    }
}

fn is_uid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn allocation(allocation: &Value, known: &BTreeSet<String>, at: &At<'_>, errors: &mut Errors) {
    let devices = allocation.or_null("devices");
    let devices_at = at.field("devices");
    let results_at = devices_at.field("results");
    for (index, result) in devices.list("results").iter().enumerate() {
        let at = results_at.index(index);
        request_name(result.text("request"), known, &at.field("request"), errors);
        identity(result, &at, errors);
        binding_conditions(result, &at, errors);
    }
    at_most(devices, "results", RESULTS_MAX, &devices_at, errors);
    let config_at = devices_at.field("config");
    for (index, config) in devices.list("config").iter().enumerate() {
        let at = config_at.index(index);
        check::one_of(config, "source", &["FromClaim", "FromClass"], &at, errors);
        requests(config, known, &at, errors);
        configuration(config, &at, errors);
    }
    at_most(devices, "config", 2 * CONFIG_MAX, &devices_at, errors);
    if let Some(selector) = allocation.at("nodeSelector") {
        node_selector(selector, &at.field("nodeSelector"), errors);
    }
}
