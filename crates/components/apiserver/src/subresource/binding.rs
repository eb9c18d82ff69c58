//! `binding`: a pod gets its node.

use std::sync::Arc;

use http::{Response, StatusCode};
use jiff::Timestamp;
use minato_mvcc::Object;
use serde_json::{Value, json};

use super::body_of;
use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::core::Core;
use crate::object;
use crate::status::ApiError;
use crate::write::{Target, UpdateKind};

pub(super) async fn answer(call: &Call, name: &str, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let mut binding = body_of(call, body, ("", "v1", "Binding")).await?;
    let target = call.target();
    call.core.admit(&target.context(&call.core, Operation::Create, name, None), &mut binding).await?;
    bind(&call.core, &target, name, &binding).await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(body::json(StatusCode::CREATED, &status))
}

/// Binds the pod `name` to the node that `binding`, which is admitted, names.
pub(crate) async fn bind(
    core: &Core,
    target: &Target<'_>,
    name: &str,
    binding: &Value,
) -> Result<Arc<Object>, ApiError> {
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    let kind = binding["target"]["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        return Err(ApiError::bad_request(format!(
            "target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\""
        )));
    }
    if node.is_empty() {
        return Err(ApiError::bad_request("target.name: Required value"));
    }
    let mut change = |old: &Value| {
        let conflict = |why: String| ApiError::conflict(&target.resource.subject(name), &why);
        let wanted = object::text(binding, "uid");
        let have = object::text(old, "uid");
        if !wanted.is_empty() && wanted != have {
            let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}");
            return Err(conflict(why));
        }
        if object::is_terminating(old) {
            return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let assigned = old["spec"]["nodeName"].as_str().unwrap_or_default();
        if !assigned.is_empty() {
            return Err(conflict(format!("pod {name} is already assigned to node {assigned:?}")));
        }
        if old["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
        }
        let mut new = old.clone();
        new["spec"]["nodeName"] = node.into();
        for list in ["annotations", "labels"] {
            for (key, value) in binding["metadata"][list].as_object().into_iter().flatten() {
                new["metadata"][list][key.as_str()] = value.clone();
            }
        }
        set_scheduled(&mut new["status"], Timestamp::now());
        Ok(new)
    };
    core.update(&Target { admitted: true, ..*target }, name, UpdateKind::Part, &mut change).await
}

fn set_scheduled(status: &mut Value, now: Timestamp) {
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": object::time(now),
    });
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Value::Array(conditions) = &mut status["conditions"] else { return };
    match conditions.iter_mut().find(|have| have["type"] == "PodScheduled") {
        Some(have) => *have = condition,
        None => conditions.push(condition),
    }
}
