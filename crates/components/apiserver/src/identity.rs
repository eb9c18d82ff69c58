//! Who asks.

use std::collections::BTreeMap;
use std::sync::Arc;

/// An authenticated user (authentication.k8s.io `UserInfo`); cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(Arc<UserInfo>);

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name, such as `alice` or `system:serviceaccount:default:builder`.
    pub name: String,
    /// The unique id, where the authenticator knows one.
    pub uid: String,
    /// The groups, `system:authenticated` or `system:unauthenticated` among them.
    pub groups: Vec<String>,
    /// Whatever else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
    /// Where the token that was shown should have been renewed by now: what the audit log says of that.
    pub stale_token: Option<String>,
    /// Who really asks, where somebody acts as this user.
    pub impersonator: Option<User>,
}

/// The group of those who may do everything.
pub(crate) const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

impl User {
    /// A user who has proved the name and the groups; `system:authenticated` is added.
    #[must_use]
    pub fn authenticated(mut info: UserInfo) -> Self {
        if !info.groups.iter().any(|group| group == AUTHENTICATED) {
            info.groups.push(AUTHENTICATED.to_owned());
        }
        Self(Arc::new(info))
    }

    /// A user with exactly the groups given: one that a review asks about.
    pub(crate) fn exactly(info: UserInfo) -> Self {
        Self(Arc::new(info))
    }

    /// A part of the cluster itself, such as `system:kube-scheduler`.
    #[must_use]
    pub fn component(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self::authenticated(UserInfo { name: name.to_owned(), groups, ..UserInfo::default() })
    }

    /// Somebody without credentials.
    pub(crate) fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self(Arc::new(UserInfo { name: "system:anonymous".to_owned(), groups, ..UserInfo::default() }))
    }

    pub(crate) fn in_group(&self, group: &str) -> bool {
        self.0.groups.iter().any(|have| have == group)
    }
}

impl std::ops::Deref for User {
    type Target = UserInfo;
    fn deref(&self) -> &UserInfo {
        &self.0
    }
}
