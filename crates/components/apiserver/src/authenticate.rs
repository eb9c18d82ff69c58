//! Authentication: who sends a request.

use http::{HeaderMap, Request, header};
use minato_http::Peer;
use minato_pki::identity_of;

use crate::authorize::{Action, ResourceAction, refusal};
use crate::core::Core;
use crate::identity::{User, UserInfo};
use crate::status::{ApiError, Subject};

impl Core {
    /// The user behind a request: put there by the in-process transport, proven by a client certificate or a bearer
    /// token, or nobody.
    pub(crate) fn authenticate<B>(&self, request: &Request<B>) -> Result<User, ApiError> {
        let user = self.credentials(request)?;
        match impersonated(request.headers())? {
            None => Ok(user),
            Some(other) => self.impersonate(&user, other),
        }
    }

    fn credentials<B>(&self, request: &Request<B>) -> Result<User, ApiError> {
        if let Some(user) = request.extensions().get::<User>() {
            return Ok(user.clone());
        }
        if let Some(certificate) = request.extensions().get::<Peer>().and_then(|peer| peer.certificates.first()) {
            let identity = identity_of(certificate).map_err(|_| ApiError::unauthorized())?;
            let info = UserInfo { name: identity.user, groups: identity.groups, ..UserInfo::default() };
            return Ok(User::authenticated(info));
        }
        let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(User::anonymous()) };
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let user = token.and_then(|token| self.authenticate_token(token, &[]));
        user.map(|(user, _)| user).ok_or_else(ApiError::unauthorized)
    }

    fn impersonate(&self, user: &User, other: UserInfo) -> Result<User, ApiError> {
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
fn impersonated(headers: &HeaderMap) -> Result<Option<UserInfo>, ApiError> {
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
