//! RuntimeClass: a pod's runtime exists; its overhead and the nodes that have it become the pod's.

use minato_mvcc::Key;
use serde_json::{Map, Value, json};

use super::{Context, items, text};
use crate::status::ApiError;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const UNDEFINED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

fn class_of(context: &Context<'_>, pod: &Value) -> Result<Option<Value>, ApiError> {
    let name = text(&pod["spec"]["runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    match context.memory.get(&Key::new("node.k8s.io/runtimeclasses", "", name)) {
        Some(class) => crate::write::parse(&class).map(Some),
        None => Err(context.forbidden(pod, &format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") {
        return Ok(());
    }
    let Some(class) = class_of(context, pod)? else { return Ok(()) };
    let overhead = &class["overhead"]["podFixed"];
    if overhead.is_object() {
        if !pod["spec"]["overhead"].is_null() && pod["spec"]["overhead"] != *overhead {
            return Err(context.forbidden(pod, MISMATCH));
        }
        pod["spec"]["overhead"] = overhead.clone();
    }
    let scheduling = &class["scheduling"];
    let mut selector = pod["spec"]["nodeSelector"].as_object().cloned().unwrap_or_else(Map::new);
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        if let Some(own) = selector.get(key).filter(|own| *own != value) {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}, pod.spec.nodeSelector[{key}] = {}; pod rejected",
                text(value),
                text(own)
            );
            return Err(context.forbidden(pod, &why));
        }
        selector.insert(key.clone(), value.clone());
    }
    if !selector.is_empty() {
        pod["spec"]["nodeSelector"] = selector.into();
    }
    let wanted: Vec<Value> = items(&scheduling["tolerations"]).cloned().collect();
    if !wanted.is_empty() {
        if !pod["spec"]["tolerations"].is_array() {
            pod["spec"]["tolerations"] = json!([]);
        }
        if let Value::Array(own) = &mut pod["spec"]["tolerations"] {
            for toleration in wanted {
                if !own.contains(&toleration) {
                    own.push(toleration);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") {
        return Ok(());
    }
    let own = &pod["spec"]["overhead"];
    let none = |list: &Value| list.as_object().is_none_or(Map::is_empty);
    let complaint = match class_of(context, pod)? {
        Some(class) if class["overhead"].is_object() => (class["overhead"]["podFixed"] != *own
            && !(none(own) && none(&class["overhead"]["podFixed"])))
        .then_some(MISMATCH),
        _ => (!none(own)).then_some(UNDEFINED),
    };
    complaint.map_or(Ok(()), |why| Err(context.forbidden(pod, why)))
}
