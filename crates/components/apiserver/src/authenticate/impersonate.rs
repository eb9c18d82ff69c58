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

/// The user that the `Impersonate-*` headers name, in UTF-8. A header that cannot be read is refused: who wants to act as
/// somebody with less rights must never act with their own instead.
pub(super) fn impersonated(headers: &HeaderMap) -> Result<Option<UserInfo>, ApiError> {
    let text = |value: &http::HeaderValue| {
        let text = str::from_utf8(value.as_bytes()).map(str::to_owned);
        text.map_err(|_| ApiError::bad_request("an impersonation header is not valid UTF-8"))
    };
    let first = |name: &str| headers.get(name).map(text).transpose().map(Option::unwrap_or_default);
    let mut info = UserInfo { name: first("impersonate-user")?, uid: first("impersonate-uid")?, ..UserInfo::default() };
    info.groups = headers.get_all("impersonate-group").iter().map(text).collect::<Result<_, _>>()?;
    for (key, value) in headers {
        if let Some(key) = key.as_str().strip_prefix("impersonate-extra-") {
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
            info.extra.entry(key).or_default().push(text(value)?);
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_read_or_refused() {
        let check = |pairs: &[(&'static str, &[u8])], expected: Result<Option<&str>, &str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_bytes(value).unwrap());
            }
            let found = impersonated(&headers).map_err(|error| error.message);
            let found = found.map(|user| user.map(|user| format!("{} {:?}", user.name, user.groups)));
            assert_eq!(found, expected.map(|user| user.map(str::to_owned)).map_err(str::to_owned), "{pairs:?}");
        };
        check(&[], Ok(None));
        check(&[("impersonate-user", b"")], Ok(None));
        check(&[("impersonate-user", b"bob"), ("impersonate-group", b"a")], Ok(Some("bob [\"a\"]")));
        check(&[("impersonate-user", "jürgen".as_bytes())], Ok(Some("jürgen []")));
        check(&[("impersonate-group", b"a")], Err("requested impersonation without impersonating a user"));
        for name in ["impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-a"] {
            check(&[(name, b"\xff"), ("impersonate-user", b"bob")], Err("an impersonation header is not valid UTF-8"));
        }
    }
}
