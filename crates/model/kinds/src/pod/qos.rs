//! A pod's quality of service class, from its resources.

use minato_quantity::Quantity;
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

fn amount(list: &Map<String, Value>, name: &str) -> Option<Quantity> {
    list.get(name).and_then(quantity).filter(|quantity| quantity.signum() > 0)
}

fn guaranteed(resources: &Value) -> bool {
    let Some(limits) = resources.map("limits") else { return false };
    COMPUTE.iter().all(|name| {
        let limit = amount(limits, name);
        // An unset request is filled from the limit.
        let request = resources.map("requests").and_then(|requests| amount(requests, name)).or(limit);
        limit.is_some() && limit == request
    })
}
