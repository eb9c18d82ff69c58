//! LimitRanger: containers, pods and claims ask for no less and no more than their namespace lets them.

use minato_quota::limit_range;
use serde_json::Value;

use super::{Context, Operation};
use crate::status::ApiError;

const LIMIT_RANGES: &str = "core/limitranges";
const CLAIMS: &str = "core/persistentvolumeclaims";

/// Gives new pods what is usual in their namespace.
pub(super) fn fill(context: &Context<'_>, pod: &mut Value) -> Result<(), ApiError> {
    if !context.creates("core/pods") {
        return Ok(());
    }
    for range in context.memory.snapshot(LIMIT_RANGES).iter_namespace(context.target.namespace) {
        limit_range::fill(&crate::write::parse(range)?, pod);
    }
    Ok(())
}

/// Refuses what is too little or too much.
pub(super) fn check(context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
    let check = match &*context.target.resource.storage {
        // What a pod asks for changes by a resize alone.
        "core/pods" if context.creates("core/pods") || context.resizes_pod() => limit_range::check_pod,
        CLAIMS if context.is(CLAIMS) && matches!(context.operation, Operation::Create | Operation::Update) => {
            limit_range::check_claim
        }
        _ => return Ok(()),
    };
    if context.old.is_some_and(crate::object::is_terminating) {
        return Ok(());
    }
    for range in context.memory.snapshot(LIMIT_RANGES).iter_namespace(context.target.namespace) {
        let wrong = check(&crate::write::parse(range)?, object);
        match wrong.as_slice() {
            [] => {}
            [one] => return Err(context.forbidden(object, one)),
            many => return Err(context.forbidden(object, &format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}
