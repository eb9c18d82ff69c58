//! Who may use the server.
//!
//! The API server is known by its certificate. Everybody else (Prometheus, a metrics server, `curl` with a token) is
//! asked about: a TokenReview says who it is unless a client certificate does, a SubjectAccessReview whether it may use
//! this node's subresource that the path belongs to. Answers are remembered as long as upstream's kubelet does.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use minato_http::Peer;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::reply::Refusal;

const IDENTITY_FRESH: Duration = Duration::from_secs(120);
const ALLOWED_FRESH: Duration = Duration::from_secs(300);
const DENIED_FRESH: Duration = Duration::from_secs(30);
/// Answers that are remembered; the oldest make room.
const REMEMBERED_MAX: usize = 1024;

/// Which of a node's subresources a path belongs to: any of these gives access.
fn subresources(path: &str) -> &'static [&'static str] {
    const TABLE: [(&str, &[&str]); 7] = [
        ("/stats", &["stats"]),
        ("/metrics", &["metrics"]),
        ("/logs", &["log"]),
        ("/healthz", &["healthz", "proxy"]),
        ("/pods", &["pods", "proxy"]),
        ("/runningpods", &["pods", "proxy"]),
        ("/configz", &["configz", "proxy"]),
    ];
    let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    TABLE.iter().find(|(root, _)| below(root)).map_or(&["proxy"], |(_, subresources)| subresources)
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

/// Lets requests in, or not.
pub(super) struct Gate {
    client: Client,
    node_name: String,
    api_server_user: String,
    identities: Memory<Vec<u8>, UserInfo>,
    rights: Memory<(String, Vec<String>, &'static str, &'static str), bool>,
}

impl Gate {
    pub(super) fn new(client: Client, node_name: String, api_server_user: String) -> Self {
        Self { client, node_name, api_server_user, identities: Memory::default(), rights: Memory::default() }
    }

    /// Whether this request may be answered.
    pub(super) async fn admit(
        &self,
        peer: Option<&Peer>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let user = match peer.and_then(|peer| peer.chain.identity()) {
            Some(Ok(identity)) if identity.user == self.api_server_user => return Ok(()),
            Some(Ok(identity)) => UserInfo {
                username: Some(identity.user.clone()),
                groups: Some(identity.groups.iter().cloned().chain(["system:authenticated".to_owned()]).collect()),
                ..UserInfo::default()
            },
            Some(Err(_)) | None => self.bearer(headers).await?.ok_or_else(unauthorized)?,
        };
        let verb = verb(method);
        let wanted = subresources(path);
        for subresource in wanted {
            if self.may(&user, verb, subresource).await? {
                return Ok(());
            }
        }
        let name = user.username.unwrap_or_default();
        let message =
            format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])", wanted.join(" "));
        Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message))
    }

    /// Whom the token in the headers stands for.
    async fn bearer(&self, headers: &HeaderMap) -> Result<Option<UserInfo>, Refusal> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = token.and_then(|value| value.split_once(' ')) else { return Ok(None) };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(None);
        }
        let digest = minato_pki::digest_of(token.trim().as_bytes());
        if let Some(user) = self.identities.get(&digest) {
            return Ok(Some(user));
        }
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.trim().to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let status = api.create(&PostParams::default(), &review).await.map_err(|error| unknown(&error))?.status;
        let Some(user) = status.filter(|status| status.authenticated == Some(true)).and_then(|status| status.user)
        else {
            return Ok(None);
        };
        self.identities.put(digest, user.clone(), IDENTITY_FRESH);
        Ok(Some(user))
    }

    async fn may(&self, user: &UserInfo, verb: &'static str, subresource: &'static str) -> Result<bool, Refusal> {
        let name = user.username.clone().unwrap_or_default();
        let groups = user.groups.clone().unwrap_or_default();
        let key = (name.clone(), groups.clone(), verb, subresource);
        if let Some(allowed) = self.rights.get(&key) {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(name),
                groups: Some(groups),
                uid: user.uid.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node_name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let status = api.create(&PostParams::default(), &review).await.map_err(|error| unknown(&error))?.status;
        let allowed = status.is_some_and(|status| status.allowed);
        self.rights.put(key, allowed, if allowed { ALLOWED_FRESH } else { DENIED_FRESH });
        Ok(allowed)
    }
}

fn unauthorized() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}

/// The API server gave no answer.
fn unknown(error: &kube::Error) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "failed to ask who may use this kubelet");
    Refusal::internal("Authorization error")
}

/// Answers that hold for a while.
struct Memory<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Memory<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let known = self.0.lock();
        known.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value.clone())
    }

    fn put(&self, key: K, value: V, fresh: Duration) {
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED_MAX {
            let now = Instant::now();
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() >= REMEMBERED_MAX
            && let Some(oldest) = known.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone())
        {
            known.remove(&oldest);
        }
        known.insert(key, (Instant::now() + fresh, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_subresources() {
        for (path, expected) in [
            ("/stats/summary", "stats"),
            ("/metrics/cadvisor", "metrics"),
            ("/metrics", "metrics"),
            ("/metricsx", "proxy"),
            ("/logs/", "log"),
            ("/healthz", "healthz proxy"),
            ("/pods", "pods proxy"),
            ("/configz", "configz proxy"),
            ("/exec/a/b/c", "proxy"),
            ("/", "proxy"),
        ] {
            assert_eq!(subresources(path).join(" "), expected, "{path}");
        }
        assert_eq!(verb(&Method::POST), "create");
        assert_eq!(verb(&Method::HEAD), "get");
    }

    #[test]
    fn answers_are_forgotten() {
        let memory: Memory<u32, bool> = Memory::default();
        for key in 0..2000 {
            memory.put(key, true, Duration::from_secs(600));
        }
        assert!(memory.0.lock().len() <= REMEMBERED_MAX);
        assert_eq!(memory.get(&1999), Some(true));
        memory.put(1999, false, Duration::ZERO);
        assert_eq!(memory.get(&1999), None);
    }
}
