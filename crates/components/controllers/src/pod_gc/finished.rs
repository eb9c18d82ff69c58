//! Deletes the oldest pods that have run to their end, where very many lie about (upstream's
//! `--terminated-pod-gc-threshold`).

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue};
use minato_scope::Scope;
use minato_workloads::pod::{is_finished, surplus_finished};

use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};

/// Finished pods that may stay.
const FINISHED_PODS_MAX: usize = 12_500;
/// Pods that end within this time are looked at together.
const PERIOD: Duration = Duration::from_secs(20);
/// Deleted by one look at most; the rest follows at once.
const BURST: usize = 500;

#[derive(Clone)]
struct Sweeper {
    client: Client,
    finished: Index<Pod>,
}

pub(super) fn start(client: &Client, pods: &Informer<Pod>, scope: &Scope) {
    let sweeper = Sweeper {
        client: client.clone(),
        finished: pods.index("finished", |pod| if is_finished(pod) { vec!["yes".to_owned()] } else { Vec::new() }),
    };
    let queue: Queue<()> = Queue::new("finished pods", Backoff::default());
    let added = queue.clone();
    pods.on_change(move |change| {
        if change.after.as_ref().is_some_and(|pod| is_finished(pod)) {
            added.add_after((), PERIOD);
        }
    });
    queue.work(scope, 1, move |()| {
        let sweeper = sweeper.clone();
        async move { sweeper.sweep().await }
    });
}

impl Sweeper {
    async fn sweep(&self) -> Result<Next, Error> {
        let mut surplus = surplus_finished(self.finished.get("yes"), FINISHED_PODS_MAX);
        let more = surplus.len() > BURST;
        surplus.truncate(BURST);
        let requests = surplus.into_iter().map(|pod| {
            let api: Api<Pod> =
                Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
            async move {
                let key = ObjectKey::of(&pod.metadata);
                let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
                let answer = api.delete(&key.name, &DeleteParams::default().grace_period(0).preconditions(same)).await;
                (key, answer)
            }
        });
        for (key, answer) in all_at_once(requests).await? {
            match answer {
                Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
                    return Err(error).trying(|| format!("delete finished pod {key}"));
                }
                _ => {}
            }
        }
        Ok(if more { Next::After(Duration::from_millis(100)) } else { Next::Done })
    }
}
