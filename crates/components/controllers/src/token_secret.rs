//! Secrets of type `kubernetes.io/service-account-token` hold a token of their account, and go with it.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher;
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_pki::SigningKey;
use serde_json::json;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

struct Worker {
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
    client: kube::Client,
    signer: Arc<SigningKey>,
    ca_pem: String,
}

pub(crate) fn start(context: &Context, signer: Option<Arc<SigningKey>>, ca_pem: String) {
    let Some(signer) = signer else { return };
    let of_accounts = watcher::Config::default().fields("type=kubernetes.io/service-account-token");
    let secrets = Informer::<Secret>::start(&context.scope, Api::all(context.client.clone()), of_accounts, |_| {});
    let accounts = context.informers.of::<ServiceAccount>();
    let queue: Queue<ObjectKey> = Queue::new("serviceaccount-token", Backoff::default());
    let scope = context.scope.clone();
    let client = context.client.clone();
    context.scope.spawn("serviceaccount-token", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = async { tokio::join!(secrets.synced(), accounts.synced()); } => {}
        }
        let by_namespace = secrets.by_namespace();
        let changed = queue.clone();
        secrets.on_change(move |change| {
            if let Some(secret) = &change.after {
                changed.add(ObjectKey::of(&secret.metadata));
            }
        });
        let changed = queue.clone();
        accounts.on_change(move |change| {
            let Some(account) = change.latest() else { return };
            for secret in by_namespace.get(account.metadata.namespace.as_deref().unwrap_or_default()) {
                if account_name(&secret) == account.metadata.name.as_deref() {
                    changed.add(ObjectKey::of(&secret.metadata));
                }
            }
        });
        let worker = Arc::new(Worker { secrets, accounts, client, signer, ca_pem });
        queue.work(&scope, 1, move |key| {
            let worker = Arc::clone(&worker);
            async move { worker.look(&key).await }
        });
    });
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn account_name(secret: &Secret) -> Option<&str> {
    annotation(secret, ACCOUNT_NAME)
}

impl Worker {
    async fn look(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(secret) = self.secrets.get(key) else { return Ok(Next::Done) };
        let Some(name) = account_name(&secret) else { return Ok(Next::Done) };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let account = self.accounts.get(&ObjectKey::new(&key.namespace, name));
        let uid = account.as_ref().and_then(|account| account.metadata.uid.as_deref());
        let meant = annotation(&secret, ACCOUNT_UID).filter(|meant| !meant.is_empty());
        let (Some(uid), true) = (uid, meant.is_none() || meant == uid) else {
            return self.delete(&api, &secret, key).await;
        };
        let wanted = self.filled(&secret, key, name, uid)?;
        if wanted == *secret {
            return Ok(Next::Done);
        }
        match api.replace(&key.name, &PostParams::default(), &wanted).await {
            Ok(written) => self.secrets.observe(written),
            Err(error) if is_conflict(&error) || is_not_found(&error) => {} // the watch brings what is there now
            Err(error) => return Err(error).trying(|| format!("fill token secret {}/{}", key.namespace, key.name)),
        }
        Ok(Next::Done)
    }

    async fn delete(&self, api: &Api<Secret>, secret: &Secret, key: &ObjectKey) -> Result<Next, Error> {
        let preconditions = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(&key.name, &parameters).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
                Err(error).trying(|| format!("delete token secret {}/{}", key.namespace, key.name))
            }
            _ => Ok(Next::Done),
        }
    }

    /// The secret with everything that it lacks.
    fn filled(&self, secret: &Secret, key: &ObjectKey, account: &str, uid: &str) -> Result<Secret, Error> {
        let mut filled = secret.clone();
        let annotations = filled.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT_UID.to_owned(), uid.to_owned());
        let data = filled.data.get_or_insert_default();
        data.insert("namespace".to_owned(), ByteString(key.namespace.as_bytes().to_vec()));
        if !self.ca_pem.is_empty() {
            data.insert("ca.crt".to_owned(), ByteString(self.ca_pem.clone().into_bytes()));
        }
        if data.get("token").is_none_or(|token| token.0.is_empty()) {
            let claims = json!({
                "iss": "kubernetes/serviceaccount",
                "kubernetes.io/serviceaccount/namespace": &*key.namespace,
                "kubernetes.io/serviceaccount/secret.name": &*key.name,
                "kubernetes.io/serviceaccount/service-account.name": account,
                "kubernetes.io/serviceaccount/service-account.uid": uid,
                "sub": format!("system:serviceaccount:{}:{account}", key.namespace),
            });
            let token =
                self.signer.sign(&claims).map_err(|source| Error::Sign { account: account.to_owned(), source })?;
            data.insert("token".to_owned(), ByteString(token.into_bytes()));
        }
        Ok(filled)
    }
}
