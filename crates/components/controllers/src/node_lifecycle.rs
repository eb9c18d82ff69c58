//! Nodes: notices the silent ones, keeps the taints that tell of their state, and drives pods away that may not stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_workloads::node::{self, Eviction, Heard, evicting_taints, eviction, hear, ready_status};
use minato_workloads::pod::is_ready;
use parking_lot::Mutex;

use crate::Context;
use crate::error::{Error, Trying as _, is_conflict, is_not_found};
use crate::reconciler::Reconciler;

/// Where kubelets keep the Leases by which they say that they live.
const LEASES: &str = "kube-node-lease";

#[derive(Clone)]
struct Controller {
    client: Client,
    grace: Duration,
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    pods_by_node: Index<Pod>,
    heard: Arc<Mutex<HashMap<ObjectKey, Heard>>>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
    /// Pods that may have to leave.
    evictions: Queue<ObjectKey>,
    evicting_at_once: usize,
}

/// Pods by the node that they are bound to.
pub(crate) fn by_node(pods: &Informer<Pod>) -> Index<Pod> {
    pods.index("node", |pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).into_iter().collect())
}

pub(crate) fn start(context: &Context, grace: Duration) {
    let pods = context.informers.of::<Pod>();
    let api = Api::namespaced(context.client.clone(), LEASES);
    let controller = Controller {
        client: context.client.clone(),
        grace,
        nodes: context.informers.of::<Node>(),
        leases: Informer::start(&context.scope, api, watcher::Config::default(), |_| {}),
        pods_by_node: by_node(&pods),
        pods,
        heard: Arc::default(),
        recorder: context.events.recorder("node-controller", None),
        queue: Queue::new("nodes", Backoff::default()),
        evictions: Queue::new("evictions", Backoff::default()),
        evicting_at_once: context.workers,
    };
    context.start(controller, context.workers);
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.nodes.synced(), self.leases.synced(), self.pods.synced());
    }

    fn listen(&self, scope: &Scope) {
        let controller = self.clone();
        self.evictions.work(scope, self.evicting_at_once, move |key| {
            let controller = controller.clone();
            async move { controller.evict(&key).await }
        });
        let controller = self.clone();
        self.nodes.on_change(move |change| {
            let Some(node) = change.latest() else { return };
            let key = ObjectKey::of(&node.metadata);
            let drives_away = |node: &Option<Arc<Node>>| node.as_ref().map_or(0, |node| evicting_taints(node).len());
            if drives_away(&change.before) + drives_away(&change.after) > 0 {
                for pod in controller.pods_by_node.get(&key.name) {
                    controller.evictions.add(ObjectKey::of(&pod.metadata));
                }
            }
            controller.queue.add(key);
        });
        let queue = self.queue.clone();
        self.leases.on_change(move |change| {
            if let Some(lease) = &change.after {
                queue.add(ObjectKey::cluster(lease.metadata.name.as_deref().unwrap_or_default()));
            }
        });
        let controller = self.clone();
        self.pods.on_change(move |change| {
            let Some(pod) = &change.after else { return };
            let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) else { return };
            let node = controller.nodes.get(&ObjectKey::cluster(node));
            if node.is_some_and(|node| !evicting_taints(&node).is_empty()) {
                controller.evictions.add(ObjectKey::of(&pod.metadata));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(mut node) = self.nodes.get(key) else {
            self.heard.lock().remove(key);
            return Ok(Next::Done);
        };
        let now = Timestamp::now();
        let left = self.listen_to(key, &node, now);
        if left.is_zero()
            && let Some(conditions) = node::silenced(&node, now)
        {
            let was_ready = ready_status(&node) == "True";
            node = Arc::new(self.silence(&node, conditions).await?);
            if was_ready {
                self.recorder.normal(&*node, "NodeNotReady", format!("Node {key} status is now: NodeNotReady"));
            }
        }
        if let Some(taints) = node::taints(&node, now) {
            let patch = serde_json::json!({
                "metadata": { "resourceVersion": node.metadata.resource_version },
                // `null` removes the field: an empty list would stay as one.
                "spec": { "taints": Some(taints).filter(|taints| !taints.is_empty()) },
            });
            let written = self.api().patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            self.nodes.observe(written.trying(|| format!("taint node {key}"))?);
        }
        if ready_status(&node) == "Unknown" {
            self.mark_pods_not_ready(key).await?;
        }
        Ok(if left.is_zero() { Next::Done } else { Next::After(left) })
    }
}

impl Controller {
    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// Notes signs of life; returns how long the node may still be silent.
    fn listen_to(&self, key: &ObjectKey, node: &Node, now: Timestamp) -> Duration {
        let lease = self.leases.get(&ObjectKey::new(LEASES, &key.name));
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|MicroTime(time)| *time));
        let mut all = self.heard.lock();
        let heard = hear(all.get(key).copied(), node, renewed, now);
        all.insert(key.clone(), heard);
        heard.patience_left(self.grace, now)
    }

    async fn silence(
        &self,
        node: &Node,
        conditions: Vec<k8s_openapi::api::core::v1::NodeCondition>,
    ) -> Result<Node, Error> {
        let mut renewed = node.clone();
        renewed.status.get_or_insert_default().conditions = Some(conditions);
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let written = self.api().replace_status(name, &PostParams::default(), &renewed).await;
        let written = written.trying(|| format!("mark node {name} as silent"))?;
        self.nodes.observe(written.clone());
        Ok(written)
    }

    /// Nobody can vouch for the pods of a silent node: they leave their Services.
    async fn mark_pods_not_ready(&self, key: &ObjectKey) -> Result<(), Error> {
        for pod in self.pods_by_node.get(&key.name) {
            if !is_ready(&pod) {
                continue;
            }
            let mut renewed = (*pod).clone();
            for condition in renewed.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
                if condition.type_ == "Ready" {
                    condition.status = "False".to_owned();
                    condition.last_transition_time = Some(Time(Timestamp::now()));
                }
            }
            let api: Api<Pod> =
                Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            match api.replace_status(name, &PostParams::default(), &renewed).await {
                Ok(written) => {
                    self.recorder.warning(&*pod, "NodeNotReady", "Node is not ready");
                    self.pods.observe(written);
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error).trying(|| format!("mark pod {name} as not ready")),
            }
        }
        Ok(())
    }

    async fn evict(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::Done) };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let Some(node) = node.and_then(|node| self.nodes.get(&ObjectKey::cluster(node))) else { return Ok(Next::Done) };
        match eviction(&pod, &evicting_taints(&node), Timestamp::now()) {
            Eviction::Never => Ok(Next::Done),
            Eviction::After(wait) => Ok(Next::After(wait)),
            Eviction::Now => {
                self.recorder.normal(&*pod, "TaintManagerEviction", format!("Marking for deletion Pod {key}"));
                let condition = disruption("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
                delete_disrupted(&self.client, &self.pods, &pod, condition, None).await?;
                Ok(Next::Done)
            }
        }
    }
}

/// The condition of a pod that is deleted through no fault of its own.
pub(crate) fn disruption(reason: &str, message: &str) -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(Timestamp::now())),
        ..PodCondition::default()
    }
}

/// Says on the pod why it goes, then deletes it: with its own grace, or at once (and Failed) where `at_once` is given.
pub(crate) async fn delete_disrupted(
    client: &Client,
    pods: &Informer<Pod>,
    pod: &Pod,
    condition: PodCondition,
    at_once: Option<AtOnce>,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut renewed = pod.clone();
    let status = renewed.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|found| found.type_ != condition.type_);
    conditions.push(condition);
    if at_once.is_some() && !minato_workloads::pod::is_finished(pod) {
        status.phase = Some("Failed".to_owned());
    }
    match api.replace_status(name, &PostParams::default(), &renewed).await {
        Ok(written) => pods.observe(written),
        Err(error) if is_not_found(&error) => return Ok(()),
        Err(error) => return Err(error).trying(|| format!("say why pod {name} is deleted")),
    }
    let parameters = DeleteParams {
        grace_period_seconds: at_once.map(|AtOnce| 0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &parameters).await {
        // Conflict: the name belongs to another pod now.
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => {
            Err(error).trying(|| format!("delete pod {name}"))
        }
        _ => Ok(()),
    }
}

/// Nobody is there to end the containers: the object goes without waiting.
#[derive(Clone, Copy)]
pub(crate) struct AtOnce;
