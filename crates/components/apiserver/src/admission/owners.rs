//! OwnerReferencesPermissionEnforcement: an owner reference lets the garbage collector delete, and keeps owners from going;
//! nobody sets one to get what they may not do themselves.

use serde_json::Value;

use super::{Context, Operation, items, text};
use crate::authorize::{Action, ResourceAction};
use crate::status::ApiError;

pub(super) fn check(context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
    let target = context.target;
    // The node reports on pods whose owners are others'.
    let is_status_of_pod = &*target.resource.storage == "core/pods" && target.subresource == "status";
    if !matches!(context.operation, Operation::Create | Operation::Update) || is_status_of_pod {
        return Ok(());
    }
    let owners = |object: &Value| -> Vec<Value> { items(&object["metadata"]["ownerReferences"]).cloned().collect() };
    let (new, old) = (owners(object), context.old.map(owners).unwrap_or_default());
    if new == old {
        return Ok(());
    }
    let declaration = &target.resource.declaration;
    let delete = ResourceAction {
        verb: "delete",
        group: &declaration.group,
        version: &target.resource.version,
        resource: &declaration.resource,
        subresource: target.subresource,
        namespace: target.namespace,
        name: context.name,
        ..ResourceAction::default()
    };
    let decision = context.core.authorizer.decide_now(target.user, &Action::Resource(delete));
    if !decision.is_allowed() {
        let why = format!("cannot set an ownerRef on a resource you can't delete: {}, <nil>", decision.reason());
        return Err(context.forbidden(object, &why));
    }
    let blocks = |owner: &&Value| owner["blockOwnerDeletion"] == true;
    let blocked = |owner: &Value| old.iter().filter(blocks).any(|old| old["uid"] == owner["uid"]);
    new.iter().filter(blocks).filter(|owner| !blocked(owner)).try_for_each(|owner| may_block(context, object, owner))
}

/// Whoever keeps an owner from going must be able to do so by a finalizer too.
fn may_block(context: &Context<'_>, object: &Value, owner: &Value) -> Result<(), ApiError> {
    let (api_version, kind) = (text(&owner["apiVersion"]), text(&owner["kind"]));
    let Some(resource) = super::policy::resource_of(context, api_version, kind) else {
        let why = format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
        );
        return Err(context.forbidden(object, &why));
    };
    let declaration = &resource.declaration;
    let finalize = ResourceAction {
        verb: "update",
        group: &declaration.group,
        version: &resource.version,
        resource: &declaration.resource,
        subresource: "finalizers",
        namespace: if declaration.namespaced { context.target.namespace } else { "" },
        name: text(&owner["name"]),
        ..ResourceAction::default()
    };
    let decision = context.core.authorizer.decide_now(context.target.user, &Action::Resource(finalize));
    if decision.is_allowed() {
        return Ok(());
    }
    let why = format!(
        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {}, <nil>",
        decision.reason()
    );
    Err(context.forbidden(object, &why))
}
