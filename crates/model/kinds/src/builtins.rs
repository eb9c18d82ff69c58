//! The list of kinds that are served of themselves: every stable kind of Kubernetes v1.36.

mod core;
mod groups;

use std::sync::LazyLock;

use crate::declaration::Declaration;

static BUILTINS: LazyLock<Vec<Declaration>> = LazyLock::new(|| {
    let families: [&[Declaration]; _] = [
        core::CORE,
        groups::ADMISSION_REGISTRATION,
        groups::API_EXTENSIONS,
        groups::API_REGISTRATION,
        groups::APPS,
        groups::AUTHENTICATION,
        groups::AUTHORIZATION,
        groups::AUTOSCALING,
        groups::BATCH,
        groups::CERTIFICATES,
        groups::COORDINATION,
        groups::DISCOVERY,
        groups::EVENTS,
        groups::FLOW_CONTROL,
        groups::NETWORKING,
        groups::NODE,
        groups::POLICY,
        groups::RBAC,
        groups::RESOURCE,
        groups::SCHEDULING,
        groups::STORAGE,
    ];
    families.concat()
});

/// All built-in kinds, the core group first, then groups by name.
pub fn builtins() -> &'static [Declaration] {
    &BUILTINS
}

/// The kind served under `group` and `resource`.
pub fn by_resource(group: &str, resource: &str) -> Option<&'static Declaration> {
    BUILTINS.iter().find(|declaration| declaration.resource == resource && declaration.group == group)
}

/// The kind whose objects are kept at `storage` in its own version (not one that is another view of them).
pub fn by_storage(storage: &str) -> Option<&'static Declaration> {
    BUILTINS.iter().find(|declaration| declaration.storage == storage)
}

/// A declaration from group, resource, singular and kind.
macro_rules! kind {
    ("", $resource:literal, $singular:literal, $kind:literal) => {
        crate::declaration::Declaration::new(crate::declaration::Identity {
            group: "",
            resource: $resource,
            singular: $singular,
            kind: $kind,
            list_kind: concat!($kind, "List"),
            storage: concat!("core/", $resource),
            api_version: "v1",
        })
    };
    ($group:literal, $resource:literal, $singular:literal, $kind:literal) => {
        crate::declaration::Declaration::new(crate::declaration::Identity {
            group: $group,
            resource: $resource,
            singular: $singular,
            kind: $kind,
            list_kind: concat!($kind, "List"),
            storage: concat!($group, "/", $resource),
            api_version: concat!($group, "/v1"),
        })
    };
}
pub(crate) use kind;
