//! A pod's quality of service class, from its resources.

use serde_json::{Map, Value};

use crate::read::Read;
use crate::resources::quantity;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` if every container (or the pod as a whole) has equal requests and limits of CPU and memory, `BestEffort` if
/// none has any, else `Burstable`.
pub(crate) fn class(spec: &Value) -> &'static str {
    if spec.at("resources").is_some_and(|resources| any(resources, "limits") || any(resources, "requests")) {
        let resources = spec.or_null("resources");
        return if guaranteed(resources) { "Guaranteed" } else { "Burstable" };
    }
    let containers = || spec.list("containers").iter().chain(spec.list("initContainers"));

    if containers().all(|container| {
        let resources = container.or_null("resources");
        !any(resources, "limits") && !any(resources, "requests")
    }) {
        return "BestEffort";
    }
    if containers().all(|container| guaranteed(container.or_null("resources"))) { "Guaranteed" } else { "Burstable" }
}

/// Whether the list has an amount of CPU or memory above zero.
fn any(resources: &Value, list: &str) -> bool {
    resources.map(list).is_some_and(|list| COMPUTE.iter().any(|name| amount(list, name).is_some()))
}

/// The amount as it is written, unless it is nothing.
fn amount<'a>(list: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    list.get(name).filter(|value| match value {
        // Amounts are canonical by now.
        Value::String(text) => text != "0" && quantity_is_positive(text),
        value => quantity(value).is_some_and(|quantity| quantity.signum() > 0),
    })
}

fn quantity_is_positive(text: &str) -> bool {
    let plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_digit() && byte != b'0');
    plain || minato_quantity::Quantity::parse(text).is_ok_and(|quantity| quantity.signum() > 0)
}

fn guaranteed(resources: &Value) -> bool {
    let Some(limits) = resources.map("limits") else { return false };
    COMPUTE.iter().all(|name| {
        let Some(limit) = amount(limits, name) else { return false };
        // An unset request is filled from the limit.
        let request = resources.map("requests").and_then(|requests| amount(requests, name)).unwrap_or(limit);
        limit == request || quantity(limit) == quantity(request)
    })
}
