//! The end of namespaces: deletes all that is in them, says what is left, and lets them go.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_workloads::namespace::{FINALIZER, Outcome, awaits_deletion, conditions};

use crate::Context;
use crate::batch::all_at_once;
use crate::discovery::{Resource, Resources};
use crate::error::{Error, Trying as _, is_conflict, is_not_found, message_of, status_of};

/// How long to wait before another look when nothing tells that content went away. The end of the last pod is seen, and
/// the garbage collector tells as soon as a namespace is empty, so this matters only for what neither watches.
const RECHECK: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Controller {
    client: Client,
    namespaces: Informer<Namespace>,
    resources: Resources,
}

/// Starts the controller; the queue takes names of namespaces that may have become empty.
pub(crate) fn start(context: &Context, resources: &Resources) -> Queue<ObjectKey> {
    let queue: Queue<ObjectKey> = Queue::new("namespaces", Backoff::default());
    let controller = Controller {
        client: context.client.clone(),
        namespaces: context.informers.of::<Namespace>(),
        resources: resources.clone(),
    };
    let pods = context.informers.of::<Pod>();
    let pods_by_namespace = pods.by_namespace();
    let (scope, workers, work) = (context.scope.clone(), context.workers, queue.clone());
    context.scope.spawn("namespaces", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = controller.namespaces.synced() => {}
        }
        let changed = work.clone();
        controller.namespaces.on_change(move |change| {
            if let Some(namespace) = change.after.as_ref().filter(|namespace| awaits_deletion(namespace)) {
                changed.add(ObjectKey::of(&namespace.metadata));
            }
        });
        // Once the last pod has ended, what it used can go.
        let (changed, namespaces) = (work.clone(), controller.namespaces.clone());
        pods.on_change(move |change| {
            let Some(gone) = change.before.as_ref().filter(|_| change.after.is_none()) else { return };
            let key = ObjectKey::cluster(gone.metadata.namespace.as_deref().unwrap_or_default());
            if pods_by_namespace.is_empty(&key.name)
                && namespaces.get(&key).is_some_and(|found| awaits_deletion(&found))
            {
                changed.add(key);
            }
        });
        work.work(&scope, workers, move |key| {
            let controller = controller.clone();
            async move { controller.reconcile(&key).await }
        });
    });
    queue
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let waiting = self.namespaces.get(key).filter(|namespace| awaits_deletion(namespace));
        let Some(namespace) = waiting else { return Ok(Next::Done) };
        let outcome = self.delete_content(&key.name).await?;
        let namespace = self.report(&namespace, &outcome).await?;
        match namespace {
            Some(namespace) if outcome.is_empty() => {
                self.finalize(namespace).await?;
                Ok(Next::Done)
            }
            Some(_) if outcome.content_errors.is_empty() && outcome.discovery_errors.is_empty() => {
                tracing::debug!(namespace = %key, remaining = ?outcome.remaining, "content is left");
                Ok(Next::After(RECHECK))
            }
            Some(_) => Err(Error::Content {
                namespace: key.to_string(),
                errors: [outcome.discovery_errors, outcome.content_errors].concat(),
            }),
            None => Ok(Next::Done),
        }
    }

    /// Deletes everything: pods first, so that they end while what they use is still there.
    async fn delete_content(&self, namespace: &str) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        // A kind that was served a moment ago may be gone, and a new one may be there.
        if let Err(error) = self.resources.refresh(&self.client).await {
            outcome.discovery_errors.push(error.to_string());
        }
        let all = self.resources.known();
        let deletable = |resource: &&Resource| resource.namespaced && resource.can("delete") && resource.can("list");
        let (pods, others): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(deletable)
            .cloned()
            .partition(|resource| resource.api.group.is_empty() && resource.api.plural == "pods");
        for stage in [pods, others] {
            let requests = stage.into_iter().map(|resource| {
                let (client, namespace) = (self.client.clone(), namespace.to_owned());
                async move {
                    let remaining = empty(&client, &namespace, &resource).await;
                    (resource, remaining)
                }
            });
            for (resource, remaining) in all_at_once(requests).await? {
                match remaining {
                    Ok(remaining) => note(&mut outcome, &resource, &remaining),
                    // Not served any more, or not for namespaces, or not deletable: then there is nothing to delete.
                    Err(error)
                        if is_not_found(&error) || status_of(&error).is_some_and(|status| status.code == 405) => {}
                    Err(error) => {
                        outcome.content_errors.push(format!("{}: {}", resource.full_name(), message_of(&error)))
                    }
                }
            }
            if !outcome.remaining.is_empty() {
                break; // pods that still end: the rest waits for them
            }
        }
        Ok(outcome)
    }

    /// Writes the conditions if they changed; the namespace as it is now, if it is still there.
    async fn report(&self, namespace: &Namespace, outcome: &Outcome) -> Result<Option<Namespace>, Error> {
        let status = namespace.status.clone().unwrap_or_default();
        let before = status.conditions.clone().unwrap_or_default();
        let after = conditions(&before, outcome, Timestamp::now());
        if after == before || (before.is_empty() && outcome.is_empty()) {
            return Ok(Some(namespace.clone()));
        }
        let mut renewed = namespace.clone();
        renewed.status.get_or_insert_default().conditions = Some(after);
        let api: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        match api.replace_status(name, &PostParams::default(), &renewed).await {
            Ok(written) => {
                self.namespaces.observe(written.clone());
                Ok(Some(written))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error).trying(|| format!("report what is left in namespace {name}")),
        }
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result<(), Error> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.replace_subresource("finalize", &name, &PostParams::default(), &namespace).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
                Err(error).trying(|| format!("finalize namespace {name}"))
            }
            // Conflict: somebody wrote in between; the watch brings it and with it the next look.
            _ => Ok(()),
        }
    }
}

/// Deletes all objects of one resource in the namespace; returns what is still there.
async fn empty(
    client: &Client,
    namespace: &str,
    resource: &Resource,
) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::namespaced_with(client.clone(), namespace, &resource.api);
    if api.list(&ListParams::default().limit(1)).await?.items.is_empty() {
        return Ok(Vec::new());
    }
    let url = <DynamicObject as kube::Resource>::url_path(&resource.api, Some(namespace));
    let request = Request::new(url).delete_collection(&DeleteParams::background(), &ListParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    // The answer lists everything that was deleted: nobody reads it.
    client.request_text(request).await?;
    Ok(api.list(&ListParams::default()).await?.items)
}

fn note(outcome: &mut Outcome, resource: &Resource, remaining: &[PartialObjectMeta<DynamicObject>]) {
    if remaining.is_empty() {
        return;
    }
    outcome.remaining.insert(resource.full_name(), remaining.len());
    let finalizers = remaining.iter().flat_map(|object| object.metadata.finalizers.iter().flatten());
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for finalizer in finalizers {
        *counts.entry(finalizer).or_default() += 1;
    }
    for (finalizer, count) in counts {
        *outcome.finalizers.entry(finalizer.clone()).or_default() += count;
    }
}
