//! Deletes finished Jobs when `spec.ttlSecondsAfterFinished` has passed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue};
use minato_workloads::job::time_to_live;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

pub(super) fn start(context: &Context, jobs: Informer<Job>) {
    let queue: Queue<ObjectKey> = Queue::new("finished jobs", Backoff::default());
    let (scope, client) = (context.scope.clone(), context.client.clone());
    context.scope.spawn("finished jobs", async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = jobs.synced() => {}
        }
        let added = queue.clone();
        jobs.on_change(move |change| {
            if let Some(job) = &change.after
                && let Some(wait) = remaining(job)
            {
                added.add_after(ObjectKey::of(&job.metadata), wait);
            }
        });
        queue.work(&scope, 1, move |key| {
            let (client, jobs) = (client.clone(), jobs.clone());
            async move { end(&client, &jobs, &key).await }
        });
    });
}

fn remaining(job: &Job) -> Option<Duration> {
    time_to_live(job, Timestamp::now()).filter(|_| job.metadata.deletion_timestamp.is_none())
}

async fn end(client: &Client, jobs: &Informer<Job>, key: &ObjectKey) -> Result<Next, Error> {
    let Some(wait) = jobs.get(key).and_then(|job| remaining(&job)) else { return Ok(Next::Done) };
    if !wait.is_zero() {
        return Ok(Next::After(wait));
    }
    // Its time may have been changed just now: what is deleted is what was looked at.
    let api: Api<Job> = Api::namespaced(client.clone(), &key.namespace);
    let fresh = api.get_opt(&key.name).await.trying(|| format!("get job {key}"))?;
    let Some(fresh) = fresh.filter(|fresh| remaining(fresh) == Some(Duration::ZERO)) else { return Ok(Next::Done) };
    let metadata = fresh.metadata;
    let same = Preconditions { uid: metadata.uid, resource_version: metadata.resource_version };
    let how = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(same),
        ..DeleteParams::default()
    };
    match api.delete(&key.name, &how).await {
        Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(Next::Done),
        answer => answer.map(|_| Next::Done).trying(|| format!("delete finished job {key}")),
    }
}
