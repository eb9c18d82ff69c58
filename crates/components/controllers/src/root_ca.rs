//! The ConfigMap `kube-root-ca.crt`, by which every pod can verify the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::watcher;
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_conflict, is_namespace_terminating, is_not_found};

const NAME: &str = "kube-root-ca.crt";
const DATA: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";

pub(crate) fn start(context: &Context, ca_pem: String) {
    if ca_pem.is_empty() {
        return; // no CA of ours: the API server's certificate is one that the world trusts
    }
    let namespaces = context.informers.of::<Namespace>();
    let only_ours = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let maps = Informer::<ConfigMap>::start(&context.scope, Api::all(context.client.clone()), only_ours, |_| {});
    let queue: Queue<ObjectKey> = Queue::new("root CA", Backoff::default());
    let (scope, client) = (context.scope.clone(), context.client.clone());
    context.scope.spawn("root CA", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = async { tokio::join!(namespaces.synced(), maps.synced()); } => {}
        }
        let changed = queue.clone();
        namespaces.on_change(move |change| {
            if let Some(namespace) = &change.after {
                changed.add(ObjectKey::of(&namespace.metadata));
            }
        });
        let changed = queue.clone();
        maps.on_change(move |change| {
            if let Some(map) = change.latest() {
                changed.add(ObjectKey::cluster(map.metadata.namespace.as_deref().unwrap_or_default()));
            }
        });
        queue.work(&scope, 1, move |key| {
            let (namespaces, maps, client, ca_pem) = (namespaces.clone(), maps.clone(), client.clone(), ca_pem.clone());
            async move {
                let wanted =
                    namespaces.get(&key).is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_none());
                if wanted {
                    publish(&maps, &Api::namespaced(client, &key.name), &key.name, &ca_pem).await?;
                }
                Ok::<_, Error>(Next::Done)
            }
        });
    });
}

async fn publish(maps: &Informer<ConfigMap>, api: &Api<ConfigMap>, namespace: &str, ca_pem: &str) -> Result<(), Error> {
    let data = BTreeMap::from([(DATA.to_owned(), ca_pem.to_owned())]);
    let written = match maps.get(&ObjectKey::new(namespace, NAME)) {
        Some(found) if found.data.as_ref() == Some(&data) => return Ok(()),
        Some(found) => {
            let repaired = ConfigMap { data: Some(data), binary_data: None, ..(*found).clone() };
            api.replace(NAME, &PostParams::default(), &repaired).await
        }
        None => {
            let description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed \
                across distributions of Kubernetes clusters.";
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                annotations: Some(BTreeMap::from([(DESCRIPTION.to_owned(), description.to_owned())])),
                ..ObjectMeta::default()
            };
            api.create(&PostParams::default(), &ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }).await
        }
    };
    match written {
        Ok(map) => maps.observe(map),
        Err(error)
            if is_already_exists(&error)
                || is_conflict(&error)
                || is_namespace_terminating(&error)
                || is_not_found(&error) => {} // the watch will bring what is there now
        Err(error) => return Err(error).trying(|| format!("publish the root CA to namespace {namespace}")),
    }
    Ok(())
}
