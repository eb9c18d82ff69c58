//! Removes pods that nobody else can: of nodes that are gone, unscheduled ones that are being deleted, and the oldest
//! finished ones where there are very many.

mod finished;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue};
use minato_scope::Scope;

use crate::Context;
use crate::error::{Error, Trying as _};
use crate::node_lifecycle::{AtOnce, by_node, delete_disrupted, disruption};
use crate::reconciler::Reconciler;

/// How long a node may be away before its pods are given up: it may be registering again.
const QUARANTINE: Duration = Duration::from_secs(40);

#[derive(Clone)]
struct Collector {
    client: Client,
    pods: Informer<Pod>,
    pods_by_node: Index<Pod>,
    nodes: Informer<Node>,
    queue: Queue<ObjectKey>,
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

pub(crate) fn start(context: &Context) {
    let pods = context.informers.of::<Pod>();
    let collector = Collector {
        client: context.client.clone(),
        nodes: context.informers.of::<Node>(),
        queue: Queue::new("pod gc", Backoff::default()),
        pods_by_node: by_node(&pods),
        pods,
    };
    context.start(collector, 2);
}

impl Reconciler for Collector {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.nodes.synced(), self.pods.synced());
    }

    fn listen(&self, scope: &Scope) {
        finished::start(&self.client, &self.pods, scope);
        let (queue, pods_by_node) = (self.queue.clone(), self.pods_by_node.clone());
        self.nodes.on_change(move |change| {
            if let Some(gone) = change.before.as_ref().filter(|_| change.after.is_none()) {
                for pod in pods_by_node.get(gone.metadata.name.as_deref().unwrap_or_default()) {
                    queue.add_after(ObjectKey::of(&pod.metadata), QUARANTINE);
                }
            }
        });
        let watching = self.clone();
        self.pods.on_change(move |change| {
            let Some(pod) = &change.after else { return };
            match node_of(pod) {
                None if pod.metadata.deletion_timestamp.is_some() => watching.queue.add(ObjectKey::of(&pod.metadata)),
                Some(node) if change.before.is_none() && watching.nodes.get(&ObjectKey::cluster(node)).is_none() => {
                    watching.queue.add_after(ObjectKey::of(&pod.metadata), QUARANTINE);
                }
                _ => {}
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::Done) };
        let condition = match node_of(&pod) {
            None if pod.metadata.deletion_timestamp.is_some() => {
                disruption("DeletionByPodGC", "PodGC: unscheduled pod is being deleted")
            }
            Some(node) if self.nodes.get(&ObjectKey::cluster(node)).is_none() => {
                let nodes: Api<Node> = Api::all(self.client.clone());
                if nodes.get_opt(node).await.trying(|| format!("get node {node}"))?.is_some() {
                    return Ok(Next::Done);
                }
                disruption("DeletionByPodGC", "PodGC: node no longer exists")
            }
            _ => return Ok(Next::Done),
        };
        tracing::info!(pod = %key, reason = condition.message, "deleting pod");
        delete_disrupted(&self.client, &self.pods, &pod, condition, Some(AtOnce)).await?;
        Ok(Next::Done)
    }
}

impl Collector {}
