//! ExtendedResourceToleration: pods that use a device tolerate the taint by which its nodes are kept free for it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Context, Operation, items};
use crate::status::ApiError;

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.is("core/pods") || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| items(&pod["spec"][list]));
    let requests = containers.filter_map(|container| container["resources"]["requests"].as_object());
    let names: BTreeSet<String> = requests
        .flat_map(|requests| requests.keys())
        .filter(|name| minato_kinds::is_extended_resource(name))
        .cloned()
        .collect();
    let Value::Object(spec) = &mut pod["spec"] else { return Ok(()) };
    if names.is_empty() {
        return Ok(());
    }
    if let Value::Array(tolerations) = spec.entry("tolerations").or_insert_with(|| json!([])) {
        for name in names {
            let wanted = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
            if !tolerations.contains(&wanted) {
                tolerations.push(wanted);
            }
        }
    }
    Ok(())
}
