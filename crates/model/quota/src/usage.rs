//! What an object uses, and which kind of object uses what.

use jiff::{SignedDuration, Timestamp};
use minato_quantity::Quantity;
use serde_json::Value;

use crate::amounts::{Amounts, items, text};
use crate::{claims, pod};

pub(crate) const PODS: &str = "core/pods";
pub(crate) const SERVICES: &str = "core/services";
pub(crate) const CLAIMS: &str = "core/persistentvolumeclaims";
pub(crate) const DEVICE_CLAIMS: &str = "resource.k8s.io/resourceclaims";
pub(crate) const CLASS_STORAGE: &str = ".storageclass.storage.k8s.io/requests.storage";
pub(crate) const CLASS_CLAIMS: &str = ".storageclass.storage.k8s.io/persistentvolumeclaims";
pub(crate) const CLASS_DEVICES: &str = ".deviceclass.resource.k8s.io/devices";

/// Kinds that are also counted by their plain name.
const ALIASES: &[&str] =
    &["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"];

/// `count/pods` or `count/deployments.apps`.
pub(crate) fn count_name(storage: &str) -> String {
    match storage.split_once('/') {
        Some(("core", resource)) => format!("count/{resource}"),
        Some((group, resource)) => format!("count/{resource}.{group}"),
        None => format!("count/{storage}"),
    }
}

/// The kind whose objects use the resource `name` of a quota, by its storage name.
pub fn source_of(name: &str) -> String {
    if let Some(counted) = name.strip_prefix("count/") {
        return match counted.split_once('.') {
            Some((resource, group)) => format!("{group}/{resource}"),
            None => format!("core/{counted}"),
        };
    }
    let kind = match name {
        "services.nodeports" | "services.loadbalancers" => SERVICES,
        "requests.storage" => CLAIMS,
        name if ALIASES.contains(&name) => return format!("core/{name}"),
        name if name.ends_with(CLASS_STORAGE) || name.ends_with(CLASS_CLAIMS) => CLAIMS,
        name if name.ends_with(CLASS_DEVICES) => DEVICE_CLAIMS,
        _ => PODS,
    };
    kind.to_owned()
}

/// Whether objects of `storage` use the resource `name` of a quota.
pub(crate) fn is_used_by(name: &str, storage: &str) -> bool {
    if source_of(name) != storage {
        return false;
    }
    storage != PODS || name.starts_with("count/") || is_compute(name)
}

/// Whether pods are asked about `name`: CPU, memory, scratch space, huge pages, devices.
fn is_compute(name: &str) -> bool {
    if matches!(name, "pods" | "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
        return true;
    }
    if let Some(limited) = name.strip_prefix("limits.") {
        return matches!(limited, "cpu" | "memory" | "ephemeral-storage");
    }
    name.strip_prefix("requests.").is_some_and(|requested| {
        matches!(requested, "cpu" | "memory" | "ephemeral-storage")
            || requested.starts_with("hugepages-")
            || is_extended(requested)
    })
}

/// `example.com/gpu`: a resource that nodes offer beyond what Kubernetes knows.
fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"))
}

/// What an object of the kind `storage` uses at the moment `now`.
pub fn usage(storage: &str, object: &Value, now: Timestamp) -> Amounts {
    let mut used = Amounts::default();
    used.count(count_name(storage), 1);
    if let Some(alias) = storage.strip_prefix("core/").filter(|name| ALIASES.contains(name)) {
        used.count(alias, 1);
    }
    match storage {
        PODS if is_alive(object, now) => add_compute(&mut used, &pod::requests(object), &pod::limits(object)),
        SERVICES => add_ports(&mut used, &object["spec"]),
        CLAIMS => claims::add_storage(&mut used, object),
        DEVICE_CLAIMS => claims::add_devices(&mut used, &object["spec"]),
        _ => {}
    }
    used
}

/// A pod that has ended, or should have been gone long ago because its node is lost, uses nothing.
fn is_alive(pod: &Value, now: Timestamp) -> bool {
    if matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed") {
        return false;
    }
    let metadata = &pod["metadata"];
    let Some(grace) = metadata["deletionGracePeriodSeconds"].as_i64() else { return true };
    let Ok(end) = text(&metadata["deletionTimestamp"]).parse::<Timestamp>() else { return true };
    end.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|end| now <= end)
}

/// A pod's resources under the names that quotas have for them.
pub(crate) fn add_compute(used: &mut Amounts, requests: &Amounts, limits: &Amounts) {
    used.count("pods", 1);
    for (name, amount) in &requests.0 {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            used.add(name.as_str(), *amount);
            used.add(format!("requests.{name}"), *amount);
        } else if is_extended(name) {
            used.add(format!("requests.{name}"), *amount);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(amount) = limits.get(name) {
            used.add(format!("limits.{name}"), amount);
        }
    }
}

fn add_ports(used: &mut Amounts, spec: &Value) {
    let ports = items(&spec["ports"]);
    let whole = |number: usize| Quantity::from_value(i64::try_from(number).unwrap_or(i64::MAX), Default::default());
    match text(&spec["type"]) {
        "NodePort" => used.add("services.nodeports", whole(ports.count())),
        "LoadBalancer" => {
            let given = if spec["allocateLoadBalancerNodePorts"] == false {
                ports.filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count()
            } else {
                ports.count()
            };
            used.add("services.nodeports", whole(given));
            used.count("services.loadbalancers", 1);
        }
        _ => {}
    }
}
