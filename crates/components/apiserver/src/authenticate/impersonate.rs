//! Impersonation: acting as somebody else, for those who may.

use http::HeaderMap;

use crate::authorize::{Action, ResourceAction, refusal};
use crate::core::Core;
use crate::identity::{User, UserInfo};
use crate::status::{ApiError, Subject};

impl Core {
    /// `other` as `user` may act: every part of it is checked.
    pub(super) fn impersonate(&self, user: &User, other: UserInfo) -> Result<User, ApiError> {
        let check = |group: &str, resource: &str, namespace: &str, name: &str, subresource: &str| {
            let action = Action::Resource(ResourceAction {
                verb: "impersonate",
                group,
                resource,
                subresource,
                namespace,
                name,
                ..ResourceAction::default()
            });
            let decision = self.authorizer.decide_now(user, &action);
            if decision.is_allowed() {
                return Ok(());
            }
            let why = refusal(user, &action, decision.reason());
            Err(ApiError::forbidden(&Subject { group, resource, name }, &why))
        };
        match other.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) => check("", "serviceaccounts", namespace, name, "")?,
            None => check("", "users", "", &other.name, "")?,
        }
        for group in &other.groups {
            check("", "groups", "", group, "")?;
        }
        if !other.uid.is_empty() {
            check("authentication.k8s.io", "uids", "", &other.uid, "")?;
        }
        for (key, values) in &other.extra {
            for value in values {
                check("authentication.k8s.io", "userextras", "", value, key)?;
            }
        }
        let mut other = other;
        other.impersonator = Some(user.clone());
        if other.groups.is_empty()
            && let Some((namespace, _)) =
                other.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
        {
            other.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        Ok(if other.name == "system:anonymous" { User::anonymous() } else { User::authenticated(other) })
    }
}

/// The user that the `Impersonate-*` headers name.
pub(super) fn impersonated(headers: &HeaderMap) -> Result<Option<UserInfo>, ApiError> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let name = headers.get("impersonate-user").map(text).unwrap_or_default();
    let mut info = UserInfo { name, ..UserInfo::default() };
    info.uid = headers.get("impersonate-uid").map(text).unwrap_or_default();
    info.groups = headers.get_all("impersonate-group").iter().map(text).collect();
    for (key, value) in headers {
        if let Some(key) = key.as_str().strip_prefix("impersonate-extra-") {
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
            info.extra.entry(key).or_default().push(text(value));
        }
    }
    if !info.name.is_empty() {
        return Ok(Some(info));
    }
    if info.groups.is_empty() && info.extra.is_empty() && info.uid.is_empty() {
        return Ok(None);
    }
    Err(ApiError::bad_request("requested impersonation without impersonating a user"))
}
