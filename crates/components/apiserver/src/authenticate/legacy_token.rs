//! Tokens that stand in Secrets of type `kubernetes.io/service-account-token`: without end, good as long as their Secret
//! and account are there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, tz::TimeZone};
use minato_mvcc::Key;
use serde::Deserialize;
use serde_json::Value;

use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::{MASTERS, User, UserInfo};
use crate::write::{Target, UpdateKind};

const ISSUER: &str = "kubernetes/serviceaccount";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
}

impl Core {
    /// The user of a Secret's token; the day of its use is noted on the Secret.
    pub(super) async fn by_legacy_token(&self, token: &str) -> Option<User> {
        let claims: Claims = self.signer.verify(token).ok().filter(|claims: &Claims| claims.iss == ISSUER)?;
        let stored = |storage: &str, name: &str| {
            let object = self.memory().get(&Key::new(storage, claims.namespace.as_str(), name))?;
            serde_json::from_slice::<Value>(&object.value).ok()
        };
        let account = stored("core/serviceaccounts", &claims.account)?;
        let secret = stored("core/secrets", &claims.secret)?;
        let held = STANDARD.decode(secret["data"]["token"].as_str()?).ok()?;
        let expected = format!("system:serviceaccount:{}:{}", claims.namespace, claims.account);
        if account["metadata"]["uid"] != claims.uid.as_str()
            || held != token.as_bytes()
            || claims.sub != expected
            || !secret["metadata"]["deletionTimestamp"].is_null()
            || !secret["metadata"]["labels"][INVALID_SINCE].is_null()
        {
            return None;
        }
        self.metrics.tokens.legacy.inc();
        self.note_use(&claims, &secret).await;
        Some(User::authenticated(UserInfo {
            name: claims.sub,
            uid: claims.uid,
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{}", claims.namespace)],
            ..UserInfo::default()
        }))
    }

    /// At most once a day; that it fails keeps nobody out.
    async fn note_use(&self, claims: &Claims, secret: &Value) {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
        if secret["metadata"]["labels"][LAST_USED] == today.as_str() {
            return;
        }
        let Some(resource) = self.registry.stored("", "secrets") else { return };
        let (user, remarks) = (User::component("system:apiserver", &[MASTERS]), Remarks::default());
        let target = Target::internal(&resource, &claims.namespace, &user, &remarks);
        let mut change = |old: &Value| {
            let mut new = old.clone();
            new["metadata"]["labels"][LAST_USED] = today.as_str().into();
            Ok(new)
        };
        if let Err(error) = self.update(&target, &claims.secret, UpdateKind::Object, &mut change).await {
            tracing::warn!(namespace = claims.namespace, secret = claims.secret, %error, "a token's use is not noted");
        }
    }
}
