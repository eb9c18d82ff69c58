//! Service-account tokens of one pod, renewed before they expire.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use minato_podlife::payload::{TokenKey, token_keys};

/// A token older than this is renewed however long it is valid.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// The tokens a pod has.
#[derive(Default)]
pub(crate) struct Tokens {
    held: BTreeMap<TokenKey, Held>,
}

struct Held {
    token: String,
    renew_at: Timestamp,
}

impl Tokens {
    /// Every token the pod's volumes need, fresh enough.
    pub(crate) async fn current(
        &mut self,
        client: &Client,
        pod: &Pod,
        now: Timestamp,
    ) -> Result<BTreeMap<TokenKey, String>, kube::Error> {
        let keys = token_keys(pod);
        self.held.retain(|key, _| keys.contains(key));
        for key in keys {
            if self.held.get(&key).is_none_or(|held| held.renew_at <= now) {
                let held = request(client, pod, &key, now).await?;
                self.held.insert(key, held);
            }
        }
        Ok(self.held.iter().map(|(key, held)| (key.clone(), held.token.clone())).collect())
    }

    /// When the first of them has to be renewed.
    pub(crate) fn renew_at(&self) -> Option<Timestamp> {
        self.held.values().map(|held| held.renew_at).min()
    }
}

async fn request(client: &Client, pod: &Pod, key: &TokenKey, now: Timestamp) -> Result<Held, kube::Error> {
    let metadata = &pod.metadata;
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
    };
    let audiences = (!key.audience.is_empty()).then(|| vec![key.audience.clone()]);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences,
            bound_object_ref: Some(bound),
            expiration_seconds: Some(key.expiration_seconds),
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let status = api.create_token_request(account, &PostParams::default(), &request).await?.status;
    let (token, life) = match status {
        Some(status) => {
            let expiry = status.expiration_timestamp.map_or(now, |expiry| expiry.0);
            (status.token.unwrap_or_default(), expiry.duration_since(now))
        }
        None => (String::new(), SignedDuration::ZERO),
    };
    let use_for = (life * 8 / 10).min(AGE_MAX).max(SignedDuration::from_secs(60));
    Ok(Held { token, renew_at: now.saturating_add(use_for).unwrap_or(Timestamp::MAX) })
}
