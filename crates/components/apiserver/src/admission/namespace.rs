//! NamespaceLifecycle: objects live in namespaces that exist and are not going away.

use minato_mvcc::Key;
use serde_json::Value;

use super::{Context, Operation};
use crate::status::{ApiError, Subject};

/// Namespaces that cannot be deleted; made at the first start.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Reviews are answered, not stored, and may be asked about a namespace that is going away.
const EXEMPT: &str = "authorization.k8s.io/localsubjectaccessreviews";

pub(super) fn lifecycle(context: &Context<'_>, object: &mut Value) -> Result<(), ApiError> {
    let target = context.target;
    if context.operation == Operation::Delete {
        return deletion(context);
    }
    if context.operation != Operation::Create
        || !target.subresource.is_empty()
        || !target.resource.declaration.namespaced
        || &*target.resource.storage == EXEMPT
    {
        return Ok(());
    }
    let namespace = context.memory.get(&Key::new("core/namespaces", "", target.namespace));
    match namespace {
        None => {
            let subject = Subject { group: "", resource: "namespaces", name: target.namespace };
            Err(ApiError::not_found(&subject))
        }
        Some(found) if found.attributes.field("status.phase") == Some("Terminating") => {
            let name = match context.name {
                "" => crate::object::text(object, "name"),
                name => name,
            };
            Err(ApiError::namespace_terminating(&target.resource.subject(name), target.namespace))
        }
        Some(_) => Ok(()),
    }
}

/// NamespaceExists: nothing is done in a namespace that is not there.
pub(super) fn check_existence(context: &Context<'_>, _: &Value) -> Result<(), ApiError> {
    let namespace = context.target.namespace;
    let is_there = || context.memory.get(&Key::new("core/namespaces", "", namespace)).is_some();
    if !context.target.resource.declaration.namespaced || context.operation == Operation::Connect || is_there() {
        return Ok(());
    }
    Err(ApiError::not_found(&Subject { group: "", resource: "namespaces", name: namespace }))
}

fn deletion(context: &Context<'_>) -> Result<(), ApiError> {
    if context.is("core/namespaces") && PROTECTED.contains(&context.name) {
        return Err(ApiError::forbidden(
            &context.target.resource.subject(context.name),
            "this namespace may not be deleted",
        ));
    }
    Ok(())
}
