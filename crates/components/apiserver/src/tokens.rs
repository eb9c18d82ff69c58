//! Service-account tokens: issued by `TokenRequest`, bound to what they are for, checked against what still exists
//! (KEP-1205).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use minato_mvcc::{Key, Memory, Object};
use minato_pki::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::Core;
use crate::identity::{User, UserInfo};
use crate::status::ApiError;
use crate::write::parse;

/// Shortest and longest life of a token, in seconds.
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;
/// Life of a token that asks for none.
const SECONDS_DEFAULT: i64 = 3600;
/// Upstream's mark of a token mounted by admission; such a token lives a year, so that old clients that never read it
/// again go on working.
const SECONDS_MOUNTED: i64 = 3607;
const SECONDS_EXTENDED: i64 = 365 * 24 * 3600;

/// The claims of a service-account token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Private,
    nbf: i64,
    sub: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Private {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
    serviceaccount: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnafter: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reference {
    name: String,
    uid: String,
}

/// What a token was asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: &'a str,
    /// The `TokenRequest`.
    pub(crate) request: &'a Value,
}

/// A token with the end of its life.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
    pub(crate) audiences: Vec<String>,
    pub(crate) seconds: i64,
}

impl Core {
    /// Issues a token for a service account.
    pub(crate) fn issue_token(&self, wanted: &Wanted<'_>) -> Result<Issued, ApiError> {
        let memory = self.memory();
        let account = existing(memory, "core/serviceaccounts", wanted.namespace, wanted.account)
            .ok_or_else(|| not_found("serviceaccounts", wanted.account))?;
        let spec = &wanted.request["spec"];
        let asked = spec["expirationSeconds"].as_i64().unwrap_or(SECONDS_DEFAULT);
        if !(SECONDS_MIN..=SECONDS_MAX).contains(&asked) {
            let detail = if asked < SECONDS_MIN {
                "may not specify a duration less than 10 minutes"
            } else {
                "may not specify a duration larger than 2^32 seconds"
            };
            return Err(ApiError::unprocessable(format!(
                "TokenRequest.authentication.k8s.io \"{}\" is invalid: spec.expirationSeconds: Invalid value: {asked}: {detail}",
                wanted.account
            )));
        }
        let audiences: Vec<String> = spec["audiences"]
            .as_array()
            .filter(|audiences| !audiences.is_empty())
            .map(|audiences| audiences.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect())
            .unwrap_or_else(|| vec![self.issuer.clone()]);
        let bound = &spec["boundObjectRef"];
        let mut private = Private {
            namespace: wanted.namespace.to_owned(),
            node: None,
            pod: None,
            secret: None,
            serviceaccount: account.reference,
            warnafter: None,
        };
        if !bound.is_null() {
            self.bind_token(wanted, bound, &mut private)?;
        }
        let now = Timestamp::now();
        let seconds = if asked == SECONDS_MOUNTED && private.pod.is_some() {
            private.warnafter = Some(now.as_second() + asked);
            SECONDS_EXTENDED
        } else {
            asked
        };
        let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires.as_second(),
            iat: now.as_second(),
            iss: self.issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: private,
            nbf: now.as_second(),
            sub: format!("system:serviceaccount:{}:{}", wanted.namespace, wanted.account),
        };
        let token = self.signer.sign(&claims).map_err(ApiError::internal)?;
        // The client is told the time it asked for, so that it renews in good time.
        let told = now.checked_add(SignedDuration::from_secs(asked)).unwrap_or(expires);
        Ok(Issued { token, expires: told, audiences, seconds: asked })
    }

    fn bind_token(&self, wanted: &Wanted<'_>, bound: &Value, private: &mut Private) -> Result<(), ApiError> {
        let text = |key: &str| bound[key].as_str().unwrap_or_default();
        let (kind, name, uid) = (text("kind"), text("name"), text("uid"));
        let (resource, storage) = match kind {
            "Pod" => ("pods", "core/pods"),
            "Secret" => ("secrets", "core/secrets"),
            "Node" => ("nodes", "core/nodes"),
            other => {
                return Err(ApiError::bad_request(format!("cannot bind token to object of type {other:?}")));
            }
        };
        let namespace = if kind == "Node" { "" } else { wanted.namespace };
        let found = existing(self.memory(), storage, namespace, name).ok_or_else(|| not_found(resource, name))?;
        if !uid.is_empty() && uid != found.reference.uid {
            let subject = crate::status::Subject { group: "", resource, name };
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(ApiError::conflict(&subject, &why));
        }
        if kind == "Pod" {
            let pod = parse(&found.object)?;
            if pod["spec"]["serviceAccountName"] != wanted.account {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    wanted.account
                )));
            }
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            private.node = existing(self.memory(), "core/nodes", "", node).map(|node| node.reference);
        }
        let slot = match kind {
            "Pod" => &mut private.pod,
            "Secret" => &mut private.secret,
            _ => &mut private.node,
        };
        *slot = Some(found.reference);
        Ok(())
    }

    /// The user that `token` speaks for, if this cluster issued it, it is in time, and all that it is bound to exists.
    /// `audiences` empty: the API server's own.
    pub(crate) fn authenticate_token(&self, token: &str, audiences: &[String]) -> Option<(User, Vec<String>)> {
        let now = Timestamp::now().as_second();
        let claims = verified(&self.signer, token)?;
        if claims.iss != self.issuer || claims.exp <= now || claims.nbf > now + 10 {
            return None;
        }
        let own = [self.issuer.clone()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let shared: Vec<String> = claims.aud.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
        if shared.is_empty() {
            return None;
        }
        let private = &claims.kubernetes;
        let memory = self.memory();
        let still_there = |storage: &str, namespace: &str, reference: &Option<Reference>| {
            reference.as_ref().is_none_or(|reference| {
                existing(memory, storage, namespace, &reference.name)
                    .is_some_and(|found| found.reference.uid == reference.uid)
            })
        };
        let account = &private.serviceaccount;
        let found = existing(memory, "core/serviceaccounts", &private.namespace, &account.name)?;
        if found.reference.uid != account.uid
            || !still_there("core/pods", &private.namespace, &private.pod)
            || !still_there("core/secrets", &private.namespace, &private.secret)
            || (private.pod.is_none() && !still_there("core/nodes", "", &private.node))
        {
            return None;
        }
        let mut extra = BTreeMap::from([(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![format!("JTI={}", claims.jti)],
        )]);
        for (kind, reference) in [("pod", &private.pod), ("node", &private.node)] {
            if let Some(reference) = reference {
                let key = |part: &str| format!("authentication.kubernetes.io/{kind}-{part}");
                extra.insert(key("name"), vec![reference.name.clone()]);
                extra.insert(key("uid"), vec![reference.uid.clone()]);
            }
        }
        let overdue = private.warnafter.map_or(0, |threshold| now - threshold);
        let counted = if overdue > 0 { &self.metrics.tokens.stale } else { &self.metrics.tokens.valid };
        counted.inc();
        let stale_token =
            (overdue > 0).then(|| format!("subject: {}, seconds after warning threshold: {overdue}", claims.sub));
        let user = User::authenticated(UserInfo {
            name: claims.sub.clone(),
            stale_token,
            uid: account.uid.clone(),
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{}", private.namespace)],
            extra,
            ..UserInfo::default()
        });
        Some((user, shared))
    }
}

fn verified(signer: &SigningKey, token: &str) -> Option<Claims> {
    signer.verify(token).inspect_err(|error| tracing::debug!(%error, "a bearer token is refused")).ok()
}

struct Found {
    reference: Reference,
    object: std::sync::Arc<Object>,
}

fn existing(memory: &Memory, storage: &str, namespace: &str, name: &str) -> Option<Found> {
    #[derive(Deserialize)]
    struct Envelope {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        uid: String,
    }
    let object = memory.get(&Key::new(storage, namespace, name))?;
    let envelope: Envelope = serde_json::from_slice(&object.value).ok()?;
    Some(Found { reference: Reference { name: name.to_owned(), uid: envelope.metadata.uid }, object })
}

fn not_found(resource: &str, name: &str) -> ApiError {
    ApiError::not_found(&crate::status::Subject { group: "", resource, name })
}
