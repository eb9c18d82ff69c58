//! `eviction`: a deletion that respects disruption budgets (`policy/v1`).

use http::{Response, StatusCode};
use jiff::Timestamp;
use minato_mvcc::Object;
use minato_select::LabelSelector;
use serde_json::{Value, json};

use super::body_of;
use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::object;
use crate::status::ApiError;
use crate::write::{DeleteOptions, Target, UpdateKind, parse};

const BUDGETS: &str = "policy/poddisruptionbudgets";

pub(super) async fn answer(call: &Call, name: &str, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let mut eviction = body_of(call, body, ("policy", "v1", "Eviction")).await?;
    let given = eviction.get("deleteOptions").filter(|options| !options.is_null());
    let options = DeleteOptions::parse(&call.query, given)?;
    let target = Target { dry_run: options.dry_run, ..call.target() };
    call.core.admit(&target.context(&call.core, Operation::Create, name, None), &mut eviction).await?;
    let target = Target { admitted: true, ..target };
    let found = call.core.memory().get(&target.key_of(name)).ok_or_else(|| call.resource.not_found(name))?;
    let pod = parse(&found)?;
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    // What has ended, has not begun or is going anyway disturbs nobody.
    if !matches!(phase, "Succeeded" | "Failed" | "Pending") && !object::is_terminating(&pod) {
        spend_budget(call, &target, &found).await?;
    }
    call.core.delete(&target, name, &options).await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(body::json(StatusCode::CREATED, &status))
}

/// Takes one allowed disruption from the budget that covers the pod, if one does.
async fn spend_budget(call: &Call, target: &Target<'_>, pod: &Object) -> Result<(), ApiError> {
    let snapshot = call.core.memory().snapshot(BUDGETS);
    let mut covering = Vec::new();
    for budget in snapshot.iter_namespace(target.namespace) {
        let value = parse(budget)?;
        let selector =
            LabelSelector::from_object(&value["spec"]["selector"]).unwrap_or_else(|_| LabelSelector::nothing());
        if selector.matches(|key| pod.attributes.label(key)) {
            covering.push(budget.key.name.to_string());
        }
    }
    let budget = match covering.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let Some(resource) = call.core.registry.stored("policy", "poddisruptionbudgets") else {
        return Err(ApiError::no_route());
    };
    let budgets = Target { resource: &resource, field_manager: "", ..*target };
    let pod_name = pod.key.name.to_string();
    let ready = is_ready(&parse(pod)?);
    let mut change = |old: &Value| {
        let status = &old["status"];
        let number = |key: &str| status[key].as_i64().unwrap_or(0);
        if !ready && lets_unready_go(old) {
            return Ok(old.clone());
        }
        if status["observedGeneration"].as_i64() < old["metadata"]["generation"].as_i64() {
            return Err(ApiError::disruption_budget(&format!(
                "The disruption budget {budget} is still being processed by the server."
            )));
        }
        if number("disruptionsAllowed") <= 0 {
            return Err(ApiError::disruption_budget(&format!(
                "The disruption budget {budget} needs {} healthy pods and has {} currently",
                number("desiredHealthy"),
                number("currentHealthy")
            )));
        }
        let mut new = old.clone();
        new["status"]["disruptionsAllowed"] = (number("disruptionsAllowed") - 1).into();
        new["status"]["disruptedPods"][pod_name.as_str()] = object::time(Timestamp::now());
        Ok(new)
    };
    call.core.update(&budgets, budget, UpdateKind::Status, &mut change).await.map(drop)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether a running pod that is not ready may go without the budget being asked (KEP-3017): always, or where enough
/// others are healthy.
fn lets_unready_go(budget: &Value) -> bool {
    if budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" {
        return true;
    }
    let number = |key: &str| budget["status"][key].as_i64().unwrap_or(0);
    budget["status"]["observedGeneration"].as_i64() >= budget["metadata"]["generation"].as_i64()
        && number("desiredHealthy") > 0
        && number("currentHealthy") >= number("desiredHealthy")
}
