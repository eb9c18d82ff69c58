//! Nodes and their places: new nodes are not ready, pods carry the zone of the node they go to.

use minato_mvcc::Key;
use serde_json::{Value, json};

use super::{Context, Operation, items, text};
use crate::status::ApiError;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const PLACES: &[&str] = &["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// TaintNodesByCondition: no pod goes to a new node before it is known to be ready.
pub(super) fn taint_new(context: &Context<'_>, node: &mut Value) -> Result<(), ApiError> {
    if !context.creates("core/nodes") {
        return Ok(());
    }
    let is_there = |taint: &Value| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule";
    if items(&node["spec"]["taints"]).any(is_there) {
        return Ok(());
    }
    if !node["spec"]["taints"].is_array() {
        node["spec"]["taints"] = json!([]);
    }
    if let Value::Array(taints) = &mut node["spec"]["taints"] {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    Ok(())
}

/// PodTopologyLabels: the zone and region of the node become labels of the binding, and of a pod that names its node.
pub(super) fn label_with_place(context: &Context<'_>, object: &mut Value) -> Result<(), ApiError> {
    if context.operation != Operation::Create {
        return Ok(());
    }
    let node = match (&*context.target.resource.storage, context.target.subresource) {
        ("core/pods", "binding") | ("core/bindings", "") => {
            if !matches!(text(&object["target"]["kind"]), "" | "Node") {
                return Ok(());
            }
            text(&object["target"]["name"])
        }
        ("core/pods", "") => text(&object["spec"]["nodeName"]),
        _ => return Ok(()),
    };
    if node.is_empty() {
        return Ok(());
    }
    let Some(node) = context.memory.get(&Key::new("core/nodes", "", node)) else { return Ok(()) };
    let places: Vec<(&str, &str)> = PLACES.iter().filter_map(|key| Some((*key, node.attributes.label(key)?))).collect();
    if places.is_empty() {
        return Ok(());
    }
    let metadata = crate::object::metadata(object);
    if !metadata.get("labels").is_some_and(Value::is_object) {
        metadata.insert("labels".to_owned(), json!({}));
    }
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.extend(places.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
    }
    Ok(())
}
