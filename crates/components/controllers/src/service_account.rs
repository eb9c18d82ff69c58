//! The ServiceAccount `default`, which every namespace has so that pods without another can run.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use minato_client::{Backoff, Next, ObjectKey, Queue};

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_namespace_terminating, is_not_found};

const NAME: &str = "default";

pub(crate) fn start(context: &Context) {
    let namespaces = context.informers.of::<Namespace>();
    let accounts = context.informers.of::<ServiceAccount>();
    let queue: Queue<ObjectKey> = Queue::new("serviceaccounts", Backoff::default());
    let (scope, client) = (context.scope.clone(), context.client.clone());
    context.scope.spawn("serviceaccounts", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = async { tokio::join!(namespaces.synced(), accounts.synced()); } => {}
        }
        let changed = queue.clone();
        namespaces.on_change(move |change| {
            if let Some(namespace) = &change.after {
                changed.add(ObjectKey::of(&namespace.metadata));
            }
        });
        let changed = queue.clone();
        accounts.on_change(move |change| {
            let gone = change.before.as_ref().filter(|_| change.after.is_none());
            if let Some(account) = gone.filter(|account| account.metadata.name.as_deref() == Some(NAME)) {
                changed.add(ObjectKey::cluster(account.metadata.namespace.as_deref().unwrap_or_default()));
            }
        });
        queue.work(&scope, 1, move |key| {
            let (namespaces, accounts, client) = (namespaces.clone(), accounts.clone(), client.clone());
            async move {
                let active = |namespace: &Namespace| namespace.metadata.deletion_timestamp.is_none();
                let wanted = namespaces.get(&key).is_some_and(|namespace| active(&namespace));
                if !wanted || accounts.get(&ObjectKey::new(&key.name, NAME)).is_some() {
                    return Ok(Next::Done);
                }
                let account = ServiceAccount {
                    metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                    ..ServiceAccount::default()
                };
                let api: Api<ServiceAccount> = Api::namespaced(client, &key.name);
                match api.create(&PostParams::default(), &account).await {
                    Ok(created) => accounts.observe(created),
                    Err(error)
                        if is_already_exists(&error) || is_namespace_terminating(&error) || is_not_found(&error) => {}
                    Err(error) => return Err(error).trying(|| format!("create service account {}/{NAME}", key.name)),
                }
                Ok::<_, Error>(Next::Done)
            }
        });
    });
}
