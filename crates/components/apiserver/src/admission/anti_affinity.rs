//! LimitPodHardAntiAffinityTopology: what a pod must be kept apart from, it is kept apart from by node, never by zone.

use serde_json::Value;

use super::{Context, Operation, items, text};
use crate::status::ApiError;

const HOST_NAME: &str = "kubernetes.io/hostname";

pub(super) fn check(context: &Context<'_>, pod: &Value) -> Result<(), ApiError> {
    if !context.is("core/pods") || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = items(&pod["spec"]["affinity"]["podAntiAffinity"][required]);
    match terms.map(|term| text(&term["topologyKey"])).find(|key| *key != HOST_NAME) {
        None => Ok(()),
        Some(key) => {
            let why = format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST_NAME} is allowed"
            );
            Err(context.forbidden(pod, &why))
        }
    }
}
