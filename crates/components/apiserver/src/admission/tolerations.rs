//! DefaultTolerationSeconds: five minutes of patience with a node that is not ready or unreachable.

use serde_json::{Value, json};

use super::{Context, Operation, text};
use crate::status::ApiError;

/// Seconds that a pod stays on a node that is not ready or cannot be reached.
const TOLERATION_SECONDS: u32 = 300;

pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.is("core/pods") || context.operation != Operation::Create {
        return Ok(());
    }
    let Value::Object(spec) = &mut pod["spec"] else { return Ok(()) };
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(tolerations) = tolerations else { return Ok(()) };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| tolerates(toleration, key)) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS,
            }));
        }
    }
    Ok(())
}

fn tolerates(toleration: &Value, key: &str) -> bool {
    let (have, operator, effect) =
        (text(&toleration["key"]), text(&toleration["operator"]), text(&toleration["effect"]));
    (have == key || (have.is_empty() && operator == "Exists")) && matches!(effect, "" | "NoExecute")
}
