//! Role-based access control: who may do what (`rbac.authorization.k8s.io/v1`).
//!
//! All roles and bindings are compiled into one [`Index`] from subject to rules; it is built again when one of the
//! four kinds has changed, so that a decision is a walk over the few rules that name the user.

mod bootstrap;
mod index;

use std::sync::Arc;

use minato_mvcc::{Memory, Revision};
use parking_lot::RwLock;

pub(crate) use bootstrap::bootstrap_objects;
pub(crate) use index::{Index, Rule};

use crate::identity::{MASTERS, User};

/// Storage names of the kinds that decide.
const ROLES: &str = "rbac.authorization.k8s.io/roles";
const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles";
const ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/rolebindings";
const CLUSTER_ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/clusterrolebindings";

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub(crate) enum Action<'a> {
    /// Something with a resource.
    Resource(ResourceAction<'a>),
    /// A verb on another path.
    Path { verb: &'a str, path: &'a str },
}

/// A verb on a resource.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResourceAction<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    /// Empty where there is none.
    pub(crate) subresource: &'a str,
    /// Empty at cluster scope or over all namespaces.
    pub(crate) namespace: &'a str,
    /// Empty for lists and creations.
    pub(crate) name: &'a str,
}

/// Decides by the roles and bindings in memory.
pub(crate) struct Authorizer {
    memory: Memory,
    compiled: RwLock<Option<(Revision, Arc<Index>)>>,
}

impl Authorizer {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, compiled: RwLock::new(None) }
    }

    /// Whether `user` may do `action`.
    pub(crate) fn allows(&self, user: &User, action: &Action<'_>) -> bool {
        user.in_group(MASTERS) || self.index().allows(user, action)
    }

    /// The rules that `user` has in `namespace`, for a rules review.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = self.index().rules(user, namespace);
        if user.in_group(MASTERS) {
            rules.extend(index::everything());
        }
        rules
    }

    fn index(&self) -> Arc<Index> {
        let kinds = [ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS];
        let changed = kinds.iter().map(|kind| self.memory.last_change(kind)).max().unwrap_or(Revision(0));
        if let Some((built, index)) = &*self.compiled.read()
            && *built >= changed
        {
            return Arc::clone(index);
        }
        let objects =
            |kind: &str| self.memory.snapshot(kind).iter().map(|object| object.value.clone()).collect::<Vec<_>>();
        let index = Arc::new(Index::build(
            &objects(ROLES),
            &objects(CLUSTER_ROLES),
            &objects(ROLE_BINDINGS),
            &objects(CLUSTER_ROLE_BINDINGS),
        ));
        *self.compiled.write() = Some((changed, Arc::clone(&index)));
        index
    }
}

/// What a refused user reads.
pub(crate) fn refusal(user: &User, action: &Action<'_>) -> String {
    match action {
        Action::Path { verb, path } => format!("User {:?} cannot {verb} path {path:?}", user.name),
        Action::Resource(action) => {
            let resource = if action.subresource.is_empty() {
                action.resource.to_owned()
            } else {
                format!("{}/{}", action.resource, action.subresource)
            };
            let place = if action.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", action.namespace)
            };
            format!(
                "User {:?} cannot {} resource {resource:?} in API group {:?} {place}",
                user.name, action.verb, action.group
            )
        }
    }
}
