//! What claims use: storage by class, devices by class.

use minato_quantity::{Format, Quantity};
use serde_json::Value;

use crate::amounts::{Amounts, items, quantity, text};
use crate::usage::{CLASS_CLAIMS, CLASS_DEVICES, CLASS_STORAGE};

/// The most devices that one request can get, counted for a request of all there are.
const DEVICES_MAX: i64 = 32;

pub(crate) fn add_storage(used: &mut Amounts, claim: &Value) {
    let class = match claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str() {
        Some(class) => class,
        None => text(&claim["spec"]["storageClassName"]),
    };
    if !class.is_empty() {
        used.count(format!("{class}{CLASS_CLAIMS}"), 1);
    }
    let wanted = quantity(&claim["spec"]["resources"]["requests"]["storage"]);
    // A claim that shrinks again after a failed growth holds what it got.
    let allocated = quantity(&claim["status"]["allocatedResources"]["storage"]);
    if let Some(storage) = wanted.max(allocated) {
        used.add("requests.storage", storage);
        if !class.is_empty() {
            used.add(format!("{class}{CLASS_STORAGE}"), storage);
        }
    }
}

pub(crate) fn add_devices(used: &mut Amounts, spec: &Value) {
    for request in items(&spec["devices"]["requests"]) {
        let mut of_request = Amounts::default();
        if !request["exactly"].is_null() {
            of_request = devices(&request["exactly"]);
        }
        // One of the alternatives will be had: the most that any of them takes, class by class.
        for alternative in items(&request["firstAvailable"]) {
            of_request.raise_to(&devices(alternative));
        }
        used.add_all(&of_request);
    }
}

fn devices(request: &Value) -> Amounts {
    let number = match text(&request["allocationMode"]) {
        "All" => DEVICES_MAX,
        _ => request["count"].as_i64().unwrap_or(1),
    };
    let mut amounts = Amounts::default();
    let class = text(&request["deviceClassName"]);
    amounts.add(format!("{class}{CLASS_DEVICES}"), Quantity::from_value(number, Format::DecimalSi));
    amounts
}
