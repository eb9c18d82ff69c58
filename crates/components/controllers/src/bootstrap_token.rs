//! Bootstrap tokens: expired Secrets go (`tokencleaner`), and the ConfigMap `cluster-info` in kube-public, by which new
//! nodes find the cluster, is signed with those that are for signing (`bootstrapsigner`).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::watcher;
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_pki::detached_signature;
use minato_workloads::bootstrap_token::Token;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

const SECRETS: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const CLUSTER_INFO: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";
/// The one key of the signer's queue.
const SIGN: &str = CLUSTER_INFO;

pub(crate) fn start(context: &Context) {
    let of_tokens = watcher::Config::default().fields("type=bootstrap.kubernetes.io/token");
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), SECRETS);
    let tokens = Informer::<Secret>::start(&context.scope, secrets.clone(), of_tokens, |_| {});
    let only_info = watcher::Config::default().fields(&format!("metadata.name={CLUSTER_INFO}"));
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), PUBLIC);
    let infos = Informer::<ConfigMap>::start(&context.scope, maps.clone(), only_info, |_| {});
    let cleaning: Queue<ObjectKey> = Queue::new("tokencleaner", Backoff::default());
    let signing: Queue<ObjectKey> = Queue::new("bootstrapsigner", Backoff::default());
    let scope = context.scope.clone();
    context.scope.spawn("bootstrap tokens", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = async { tokio::join!(tokens.synced(), infos.synced()); } => {}
        }
        let (clean, sign) = (cleaning.clone(), signing.clone());
        tokens.on_change(move |change| {
            if let Some(token) = &change.after {
                clean.add(ObjectKey::of(&token.metadata));
            }
            sign.add(ObjectKey::cluster(SIGN));
        });
        let sign = signing.clone();
        infos.on_change(move |_| sign.add(ObjectKey::cluster(SIGN)));
        let known = tokens.clone();
        cleaning.work(&scope, 1, move |key| {
            let (known, secrets) = (known.clone(), secrets.clone());
            async move { clean_up(&known, &secrets, &key).await }
        });
        signing.work(&scope, 1, move |_| {
            let (tokens, infos, maps) = (tokens.clone(), infos.clone(), maps.clone());
            async move { sign_info(&tokens, &infos, &maps).await }
        });
    });
}

async fn clean_up(known: &Informer<Secret>, secrets: &Api<Secret>, key: &ObjectKey) -> Result<Next, Error> {
    let Some(secret) = known.get(key) else { return Ok(Next::Done) };
    let now = Timestamp::now();
    let Some(expiration) = Token::of(&secret).and_then(|token| token.expiration) else { return Ok(Next::Done) };
    if expiration > now {
        return Ok(Next::After(expiration.duration_since(now).unsigned_abs().min(Duration::from_secs(3600))));
    }
    let preconditions = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match secrets.delete(&key.name, &parameters).await {
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
            Err(error).trying(|| format!("delete expired bootstrap token {}", key.name))
        }
        _ => Ok(Next::Done),
    }
}

async fn sign_info(
    tokens: &Informer<Secret>,
    infos: &Informer<ConfigMap>,
    maps: &Api<ConfigMap>,
) -> Result<Next, Error> {
    let Some(info) = infos.get(&ObjectKey::new(PUBLIC, CLUSTER_INFO)) else { return Ok(Next::Done) };
    let mut data: BTreeMap<String, String> = info.data.clone().unwrap_or_default();
    let Some(content) = data.get(KUBECONFIG).cloned() else { return Ok(Next::Done) };
    data.retain(|key, _| !key.starts_with(SIGNATURE_PREFIX));
    let now = Timestamp::now();
    for secret in tokens.list() {
        if let Some(token) = Token::of(&secret).filter(|token| token.signs(now)) {
            let signature = detached_signature(&token.id, &token.secret, &content);
            data.insert(format!("{SIGNATURE_PREFIX}{}", token.id), signature);
        }
    }
    if info.data.as_ref() == Some(&data) {
        return Ok(Next::Done);
    }
    let signed = ConfigMap { data: Some(data), ..(*info).clone() };
    match maps.replace(CLUSTER_INFO, &PostParams::default(), &signed).await {
        Ok(written) => infos.observe(written),
        Err(error) if is_conflict(&error) || is_not_found(&error) => {} // the watch brings what is there now
        Err(error) => return Err(error).trying(|| "sign cluster-info".to_owned()),
    }
    Ok(Next::Done)
}
