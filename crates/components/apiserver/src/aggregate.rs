//! Aggregated API servers: groups that another server answers for, named by an APIService with a service.
//!
//! A request for such a group goes on to that server under the caller's identity, which the front proxy's certificate
//! vouches for (`X-Remote-User`). A task keeps the APIServices: it makes one for each group that this server serves
//! itself, checks those of others, and enters what they serve in the registry's discovery.

mod availability;
mod local;
mod openapi;
mod remote;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use minato_http::Peer;
use minato_pki::Issued;
use minato_scope::Scope;
use serde_json::{Value, json};

use crate::body::{self, RequestBody, ResponseBody};
use crate::core::Core;
use crate::follow::Followed;
use crate::identity::{MASTERS, User};
use crate::relay;
use crate::status::ApiError;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
pub(crate) use openapi::OpenApi;
use remote::Remote;

/// How the API server proves to other servers that it may speak for its callers.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// The certificate of the authority that `identity` is from.
    pub authority_pem: String,
    /// The front proxy's own certificate and key.
    pub identity: Issued,
    /// The name in that certificate.
    pub name: String,
    /// The certificate of the authority that clients' certificates are from.
    pub client_authority_pem: String,
}

/// Names of headers that tell another server who asks, as [`FrontProxy::config_map`] announces them.
const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";

const API_SERVICES: &str = "apiregistration.k8s.io/apiservices";
const SERVICES: &str = "core/services";
const ENDPOINT_SLICES: &str = "discovery.k8s.io/endpointslices";

impl FrontProxy {
    /// `extension-apiserver-authentication` in `kube-system`: what other servers need to believe this one.
    pub(crate) fn config_map(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {
                "client-ca-file": self.client_authority_pem,
                "requestheader-allowed-names": json!([self.name]).to_string(),
                "requestheader-client-ca-file": self.authority_pem,
                "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
                "requestheader-group-headers": r#"["X-Remote-Group"]"#,
                "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
                "requestheader-username-headers": r#"["X-Remote-User"]"#,
            },
        })
    }
}

/// The other servers, by group and version.
pub(crate) struct Aggregator {
    front_proxy: Option<FrontProxy>,
    remotes: ArcSwap<HashMap<(String, String), Arc<Remote>>>,
}

impl Aggregator {
    pub(crate) fn new(front_proxy: Option<FrontProxy>) -> Self {
        Self { front_proxy, remotes: ArcSwap::default() }
    }

    pub(crate) fn front_proxy(&self) -> Option<&FrontProxy> {
        self.front_proxy.as_ref()
    }

    /// Who answers for a version of a group, if another server does.
    pub(crate) fn find(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes.load();
        if remotes.is_empty() {
            return None;
        }
        remotes.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// Hands a request of `user` on to `remote`.
    pub(crate) async fn relay(
        &self,
        core: &Core,
        remote: &Remote,
        user: &User,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        if !remote.is_available() {
            return Ok(unavailable());
        }
        let backend = match remote.backend(core.memory(), self.front_proxy.as_ref()) {
            Ok(backend) => backend,
            Err(error) => {
                tracing::warn!(api_service = remote.name, error, "an aggregated API server cannot be reached");
                return Ok(unavailable());
            }
        };
        let peer = request.extensions().get::<Peer>().cloned();
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(http::Uri::default, http::Uri::from);
        let headers = request.headers_mut();
        relay::append_forwarded_for(headers, peer.as_ref());
        identify(headers, user);
        relay::set(headers, "host", remote.host_name());
        let answer = backend
            .relay(request, &core.scope)
            .await
            .map_err(|error| ApiError::unavailable(format!("error trying to reach service: {error}")))?;
        // It would send clients, credentials and all, wherever it likes (CVE-2022-3172).
        if answer.status().is_redirection() && answer.headers().contains_key(http::header::LOCATION) {
            let why = "the backend attempted to redirect this request, which is not permitted";
            return Ok(body::text(StatusCode::BAD_GATEWAY, why));
        }
        Ok(answer)
    }
}

fn unavailable() -> Response<ResponseBody> {
    body::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n")
}

/// Puts `user` into headers; what the client itself sent by these names goes.
fn identify(headers: &mut http::HeaderMap, user: &User) {
    let ours = |name: &HeaderName| [USER, UID, GROUP].contains(name) || name.as_str().starts_with(EXTRA);
    for name in headers.keys().filter(|name| ours(name)).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    let mut append = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            headers.append(name, value);
        }
    };
    append(USER, &user.name);
    if !user.uid.is_empty() {
        append(UID, &user.uid);
    }
    for group in &user.groups {
        append(GROUP, group);
    }
    for (key, values) in &user.extra {
        let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
        let Ok(name) = HeaderName::try_from(format!("{EXTRA}{}", key.to_ascii_lowercase())) else { continue };
        for value in values {
            append(name.clone(), value);
        }
    }
}

/// The user that keeps the APIServices.
fn keeper() -> User {
    User::component("system:kube-aggregator", &[MASTERS])
}

/// Keeps the APIServices until `scope` is cancelled.
pub(crate) async fn run(core: Arc<Core>, scope: Scope) {
    let memory = core.memory().clone();
    let mut watched = [API_SERVICES, SERVICES, ENDPOINT_SLICES].map(|storage| Followed::new(&memory, storage));
    let mut checks = availability::Checks::default();
    let mut running = FuturesUnordered::new();
    let mut keeps = true;
    loop {
        // Enabled before looking, so that no change in between is missed.
        let served = core.registry.changed.notified();
        tokio::pin!(served);
        served.as_mut().enable();
        if std::mem::take(&mut keeps) {
            local::keep(&core).await;
        }
        running.extend(checks.begin(&core));
        let [api_services, services, slices] = &mut watched;
        let due = async {
            match checks.due() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let others = !checks.is_empty();
        tokio::select! {
            () = api_services.changed() => keeps = true,
            () = services.changed(), if others => {}
            () = slices.changed(), if others => {}
            () = served => keeps = true,
            () = due => {}
            Some(checked) = running.next() => checks.end(&core, checked).await,
            () = scope.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UserInfo;

    #[test]
    fn clients_cannot_say_who_they_are_themselves() {
        let mut headers = http::HeaderMap::new();
        headers.insert(USER, HeaderValue::from_static("root"));
        headers.insert("x-remote-extra-scopes", HeaderValue::from_static("all"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        let extra = [("example.org/scopes".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
        let groups = vec!["dev".to_owned()];
        let info = UserInfo { name: "alice".to_owned(), groups, extra, ..UserInfo::default() };
        identify(&mut headers, &User::authenticated(info));
        let all = |name: &str| {
            headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all("x-remote-user"), ["alice"]);
        assert_eq!(all("x-remote-group"), ["dev", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example%2eorg%2fscopes"), ["a", "b"]);
        assert!(all("x-remote-extra-scopes").is_empty() && all("accept") == ["*/*"]);
    }
}
