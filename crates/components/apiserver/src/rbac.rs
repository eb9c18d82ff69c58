//! Role-based access control: who may do what (`rbac.authorization.k8s.io/v1`).
//!
//! All roles and bindings are compiled into one [`Index`] from subject to rules; it is built again when one of the
//! four kinds has changed, so that a decision is a walk over the few rules that name the user.

mod bootstrap;
mod escalation;
mod index;

use std::sync::Arc;

use minato_mvcc::{Memory, Revision};
use parking_lot::RwLock;

pub(crate) use bootstrap::{BootstrapObject, Replace, bootstrap_objects, node_rules, reconcile};
pub(crate) use escalation::check_grant;
pub(crate) use index::{Index, Rule, everything};

use crate::authorize::{Action, Decision};
use crate::identity::User;

/// Storage names of the kinds that decide.
const ROLES: &str = "rbac.authorization.k8s.io/roles";
const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles";
const ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/rolebindings";
const CLUSTER_ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/clusterrolebindings";

/// Decides by the roles and bindings in memory.
pub(crate) struct Rbac {
    memory: Memory,
    compiled: RwLock<Option<(Revision, Arc<Index>)>>,
}

impl Rbac {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, compiled: RwLock::new(None) }
    }

    /// Whether a role that is bound to `user` allows `action`.
    pub(crate) fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        self.index().decide(user, action)
    }

    /// The rules that `user` has in `namespace`.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        self.index().rules(user, namespace)
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
