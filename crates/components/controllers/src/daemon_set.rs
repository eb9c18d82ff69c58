//! DaemonSets: watches sets, nodes, pods and revisions, creates and deletes pods, reports.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use minato_client::{Backoff, Change, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::daemon_set::{self, BURST_REPLICAS, Observed, Plan, pod_for};
use minato_workloads::history::{self, CONTROLLER_REVISION_HASH, Owner};
use minato_workloads::pod::phase;
use minato_workloads::replica_set::slow_start;

use crate::Context;
use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_namespace_terminating, is_not_found, message_of};
use crate::history::{History, Kept};
use crate::patience::Patience;
use crate::pods::{Controlling, Pods, name_of, reference};
use crate::reconciler::{Reconciler, enqueue};

/// As upstream's: how long a daemon that keeps ending is left alone on its node.
const PATIENCE_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Clone)]
struct Controller {
    client: Client,
    sets: Informer<DaemonSet>,
    nodes: Informer<Node>,
    pods: Pods,
    history: History,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
    patience: Arc<Patience>,
}

impl Controlling for DaemonSet {
    fn selector(&self) -> Option<LabelSelector> {
        LabelSelector::try_from(&self.spec.as_ref()?.selector).ok()
    }
}

pub(crate) fn start(context: &Context) {
    let controller = Controller {
        client: context.client.clone(),
        sets: context.informers.of::<DaemonSet>(),
        nodes: context.informers.of::<Node>(),
        pods: Pods::of(context),
        history: History::of(context),
        recorder: context.events.recorder("daemonset-controller", None),
        queue: Queue::new("daemonsets", Backoff::default()),
        patience: Arc::new(Patience::new(PATIENCE_MAX)),
    };
    context.start(controller, context.workers);
}

/// Whether a node's change can matter to a DaemonSet: heartbeats cannot.
fn matters(change: &Change<Node>) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return true };
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    before.metadata.labels != after.metadata.labels || taints(before) != taints(after)
}

/// What stopped a plan: whether trying again is of use.
type Outcome = Result<(), Option<Error>>;

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(
            self.sets.synced(),
            self.nodes.synced(),
            self.pods.informer.synced(),
            self.history.revisions.synced()
        );
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.sets, &self.queue);
        self.pods.wake(&self.queue, &self.sets);
        let (queue, sets) = (self.queue.clone(), self.sets.clone());
        self.nodes.on_change(move |change| {
            if matters(change) {
                sets.list().iter().for_each(|set| queue.add(ObjectKey::of(&set.metadata)));
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(set) = self.sets.get(key) else { return Ok(Next::Done) };
        let Some(spec) = &set.spec else { return Ok(Next::Done) };
        let selector = LabelSelector::try_from(&spec.selector)
            .map_err(|source| Error::Selector { object: format!("daemon set {key}"), source })?;
        let pods = self.pods.claim::<DaemonSet>(&set.metadata, &selector).await?;
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let owner = Owner {
            metadata: &set.metadata,
            reference: reference::<DaemonSet>(&set.metadata),
            template: &spec.template,
            collision_count: set.status.as_ref().and_then(|status| status.collision_count),
        };
        let kept = self.history.keep(&owner).await?;
        let hash = hash_of(&kept.newest).to_owned();
        let nodes = self.nodes.list();
        let plan =
            daemon_set::plan(&Observed { set: &set, nodes: &nodes, pods: &pods, hash: &hash, now: Timestamp::now() });
        let more = plan.create.len().max(plan.delete.len()) >= BURST_REPLICAS;
        let (outcome, retry) = self.carry_out(&set, plan, &hash).await;
        let recheck = self.report(&set, &nodes, &hash, kept.collision_count).await?;
        self.prune(&set, &kept, &hash).await?;
        match outcome {
            Err(Some(error)) => return Err(error),
            Ok(()) if more => self.queue.add(key.clone()),
            _ => {}
        }
        Ok([recheck, retry].into_iter().flatten().min().map_or(Next::Done, Next::After))
    }
}

impl Controller {
    /// Returns also when a finished pod may be replaced that has to wait now.
    async fn carry_out(&self, set: &DaemonSet, plan: Plan, hash: &str) -> (Outcome, Option<std::time::Duration>) {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let mut delete = plan.delete;
        let mut retry: Option<std::time::Duration> = None;
        for pod in plan.finished {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            if let Some(wait) = self.patience.wait(uid, node) {
                retry = Some(retry.map_or(wait, |sooner| sooner.min(wait)));
                continue;
            }
            let name = format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), name_of(&pod));
            if phase(&pod) == "Failed" {
                let message = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
                self.recorder.warning(set, "FailedDaemonPod", message);
            } else {
                let message = format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
                self.recorder.normal(set, "SucceededDaemonPod", message);
            }
            delete.push(pod);
        }
        let created = self.create(set, plan.create, hash).await;
        let deleted = self.delete(set, delete).await;
        (created.and(deleted), retry)
    }

    async fn create(&self, set: &DaemonSet, nodes: Vec<String>, hash: &str) -> Outcome {
        let mut nodes = nodes.into_iter();
        for batch in slow_start(nodes.len()) {
            let requests = nodes.by_ref().take(batch).map(|node| {
                let (pods, pod) = (self.pods.clone(), pod_for(set, &node, hash));
                async move { pods.create(&pod).await }
            });
            let mut stopped = None;
            for answer in all_at_once(requests).await.map_err(Some)? {
                match answer {
                    Ok(name) => self.recorder.normal(set, "SuccessfulCreate", format!("Created pod: {name}")),
                    Err(error) if is_namespace_terminating(&error) => stopped = Some(None),
                    Err(source) => {
                        let message = format!("Error creating: {}", message_of(&source));
                        self.recorder.warning(set, "FailedCreate", message);
                        let action = format!("create a pod of daemon set {}", ObjectKey::of(&set.metadata));
                        stopped = Some(Some(Error::Api { action, source }));
                    }
                }
            }
            if let Some(stopped) = stopped {
                return Err(stopped);
            }
        }
        Ok(())
    }

    async fn delete(&self, set: &DaemonSet, victims: Vec<Arc<Pod>>) -> Outcome {
        let requests = victims.into_iter().map(|pod| {
            let pods = self.pods.clone();
            async move {
                let answer = pods.delete(&pod).await;
                (pod, answer)
            }
        });
        let mut outcome = Ok(());
        for (pod, answer) in all_at_once(requests).await.map_err(Some)? {
            let name = name_of(&pod);
            match answer {
                Ok(()) => self.recorder.normal(set, "SuccessfulDelete", format!("Deleted pod: {name}")),
                Err(source) => {
                    let message = format!("Error deleting: {}", message_of(&source));
                    self.recorder.warning(set, "FailedDelete", message);
                    let action = format!("delete pod {name} of daemon set {}", ObjectKey::of(&set.metadata));
                    outcome = Err(Some(Error::Api { action, source }));
                }
            }
        }
        outcome
    }

    /// Writes the status if it changed; says when time alone will change it.
    async fn report(
        &self,
        set: &DaemonSet,
        nodes: &[Arc<Node>],
        hash: &str,
        collision_count: Option<i32>,
    ) -> Result<Option<std::time::Duration>, Error> {
        let key = ObjectKey::of(&set.metadata);
        let pods = self.pods.controlled_by(set.metadata.uid.as_deref().unwrap_or_default());
        let observed = Observed { set, nodes, pods: &pods, hash, now: Timestamp::now() };
        let (status, recheck) = daemon_set::status(&observed, collision_count);
        let status = Some(status);
        if set.status == status {
            return Ok(recheck);
        }
        let renewed = DaemonSet { status, ..set.clone() };
        let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
            Ok(written) => self.sets.observe(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).trying(|| format!("report the status of daemon set {key}")),
        }
        Ok(recheck)
    }

    async fn prune(&self, set: &DaemonSet, kept: &Kept, hash: &str) -> Result<(), Error> {
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let pods = self.pods.controlled_by(set.metadata.uid.as_deref().unwrap_or_default());
        let is_live = |revision: &ControllerRevision| {
            let own = hash_of(revision);
            let carries = |pod: &Pod| {
                let labels = pod.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(CONTROLLER_REVISION_HASH)).is_some_and(|have| have == own)
            };
            own == hash || pods.iter().any(|pod| carries(pod))
        };
        self.history.prune(&history::surplus(&kept.revisions, limit, is_live)).await
    }
}

/// The hash that a revision's pods carry.
fn hash_of(revision: &ControllerRevision) -> &str {
    let labels = revision.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(CONTROLLER_REVISION_HASH)).map_or("", String::as_str)
}
