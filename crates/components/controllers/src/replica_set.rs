//! ReplicaSets and ReplicationControllers: watches sets and pods, creates and deletes pods, reports.
//!
//! A ReplicationController is a ReplicaSet in older clothes ([`Replicated`]): one controller serves both.

mod replicated;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Backoff, Change, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_select::LabelSelector;
use minato_workloads::ownership::{Claim, claim, controller_of, controller_reference};
use minato_workloads::pod::is_active;
use minato_workloads::replica_set::{self, Failure, Observed, pod_from_template, slow_start};

use crate::Context;
use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_namespace_terminating, is_not_found, message_of};

pub(crate) use replicated::Replicated;

struct Controller<S> {
    client: Client,
    sets: Informer<S>,
    sets_by_controller: Index<S>,
    sets_by_namespace: Index<S>,
    pods: Informer<Pod>,
    pods_by_controller: Index<Pod>,
    orphans: Index<Pod>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

impl<S> Clone for Controller<S> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            sets: self.sets.clone(),
            sets_by_controller: self.sets_by_controller.clone(),
            sets_by_namespace: self.sets_by_namespace.clone(),
            pods: self.pods.clone(),
            pods_by_controller: self.pods_by_controller.clone(),
            orphans: self.orphans.clone(),
            recorder: self.recorder.clone(),
            queue: self.queue.clone(),
        }
    }
}

pub(crate) fn start<S: Replicated>(context: &Context) {
    let sets = context.informers.of::<S>();
    let pods = context.informers.of::<Pod>();
    let controller = Controller {
        client: context.client.clone(),
        sets_by_controller: sets.by_controller(),
        sets_by_namespace: sets.by_namespace(),
        pods_by_controller: pods.by_controller(),
        orphans: orphans(&pods),
        recorder: context.events.recorder(S::COMPONENT, None),
        queue: Queue::new(&S::plural(&()), Backoff::default()),
        sets,
        pods,
    };
    let (scope, workers) = (context.scope.clone(), context.workers);
    context.scope.spawn(&S::plural(&()), async move {
        tokio::select! {
            () = scope.cancelled() => return,
            () = async { tokio::join!(controller.sets.synced(), controller.pods.synced()); } => {}
        }
        controller.listen();
        let reconciler = controller.clone();
        controller.queue.work(&scope, workers, move |key| {
            let controller = reconciler.clone();
            async move { controller.reconcile(&key).await }
        });
    });
}

/// Pods without a controller, by namespace.
fn orphans(pods: &Informer<Pod>) -> Index<Pod> {
    pods.index("orphan", |pod| match controller_of(&pod.metadata) {
        Some(_) => Vec::new(),
        None => pod.metadata.namespace.clone().into_iter().collect(),
    })
}

impl<S: Replicated> Controller<S> {
    fn listen(&self) {
        let queue = self.queue.clone();
        self.sets.on_change(move |change| {
            if let Some(set) = &change.after {
                queue.add(ObjectKey::of(set.meta()));
            }
        });
        let controller = self.clone();
        self.pods.on_change(move |change| controller.pod_changed(change));
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        for pod in change.both() {
            if let Some(owner) = controller_of(&pod.metadata).filter(|owner| owner.kind == S::kind(&())) {
                self.queue.add(ObjectKey::new(pod.metadata.namespace.as_deref().unwrap_or_default(), &owner.name));
            }
        }
        let Some(orphan) = change.after.as_ref().filter(|pod| controller_of(&pod.metadata).is_none()) else { return };
        let Some(labels) = &orphan.metadata.labels else { return };
        for set in self.sets_by_namespace.get(orphan.metadata.namespace.as_deref().unwrap_or_default()) {
            if selector_of(&set.as_replica_set()).is_ok_and(|selector| selector.matches_labels(labels)) {
                self.queue.add(ObjectKey::of(set.meta()));
            }
        }
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(found) = self.sets.get(key) else { return Ok(Next::Done) };
        let set = found.as_replica_set();
        let pods = self.claim_pods(key, &set).await?;
        let related = self.related(&set, &pods);
        let observed = Observed { replica_set: &set, pods: &pods, related: &related, now: Timestamp::now() };
        let plan = replica_set::plan(&observed);
        // A burst is bounded: what is left follows at once.
        let more = plan.create.max(plan.delete.len()) >= replica_set::BURST_REPLICAS;
        let outcome = if plan.is_empty() { Ok(()) } else { self.carry_out(key, &found, plan).await };
        let failure = outcome.as_ref().err().and_then(|stopped| stopped.failure.clone());
        let recheck = self.report(key, failure.as_ref()).await?;
        match outcome {
            Ok(()) if more => {
                self.queue.add(key.clone());
                Ok(Next::Done)
            }
            Ok(()) => Ok(recheck.map_or(Next::Done, Next::After)),
            Err(Stopped { error: Some(error), .. }) => Err(error),
            Err(Stopped { error: None, .. }) => Ok(Next::Done),
        }
    }

    /// The pods of the set, after taking orphans that match and letting go those that do not match any more.
    async fn claim_pods(&self, key: &ObjectKey, set: &ReplicaSet) -> Result<Vec<Arc<Pod>>, Error> {
        let selector = selector_of(set)?;
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = Vec::new();
        let candidates = self.pods_by_controller.get(uid).into_iter().chain(self.orphans.get(&key.namespace));
        for pod in candidates {
            match claim(&set.metadata, &selector, &pod.metadata) {
                Claim::Own => pods.push(pod),
                Claim::Leave => {}
                Claim::Adopt if !is_active(&pod) => {}
                Claim::Adopt => pods.extend(self.adopt(key, set, &pod).await?.map(Arc::new)),
                Claim::Release => self.release(key, uid, &pod).await?,
            }
        }
        Ok(pods)
    }

    async fn adopt(&self, key: &ObjectKey, set: &ReplicaSet, pod: &Pod) -> Result<Option<Pod>, Error> {
        // A set that is being deleted, or was replaced by another of its name, must not take anything.
        let sets: Api<S> = Api::namespaced(self.client.clone(), &key.namespace);
        let fresh = sets.get_opt(&key.name).await.trying(|| format!("get {} {key}", S::kind(&())))?;
        let may = |fresh: &S| fresh.meta().uid == set.metadata.uid && fresh.meta().deletion_timestamp.is_none();
        if !fresh.as_ref().is_some_and(may) {
            return Ok(None);
        }
        let owner = controller_reference(&S::api_version(&()), &S::kind(&()), &set.metadata);
        self.patch_owners(key, pod, serde_json::json!([owner])).await
    }

    async fn release(&self, key: &ObjectKey, uid: &str, pod: &Pod) -> Result<(), Error> {
        self.patch_owners(key, pod, serde_json::json!([{ "$patch": "delete", "uid": uid }])).await.map(drop)
    }

    async fn patch_owners(&self, key: &ObjectKey, pod: &Pod, owners: serde_json::Value) -> Result<Option<Pod>, Error> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let patch = serde_json::json!({ "metadata": { "ownerReferences": owners, "uid": pod.metadata.uid } });
        match pods.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(pod) => {
                self.pods.observe(pod.clone());
                Ok(Some(pod))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error).trying(|| format!("change the owner of pod {name}")),
        }
    }

    /// The active pods of all sets under the same controller.
    fn related(&self, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(owner) = controller_of(&set.metadata) else { return pods.to_vec() };
        let sets = self.sets_by_controller.get(&owner.uid);
        sets.iter().flat_map(|set| self.pods_by_controller.get(set.meta().uid.as_deref().unwrap_or_default())).collect()
    }

    async fn carry_out(&self, key: &ObjectKey, set: &S, plan: replica_set::Plan) -> Result<(), Stopped> {
        if plan.create > 0 {
            self.create(key, set, plan.create).await
        } else {
            self.delete(key, set, plan.delete).await
        }
    }

    async fn create(&self, key: &ObjectKey, found: &S, count: usize) -> Result<(), Stopped> {
        let set = found.as_replica_set();
        let Some(template) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else { return Ok(()) };
        let owner = controller_reference(&S::api_version(&()), &S::kind(&()), &set.metadata);
        let pod = Arc::new(pod_from_template(template, &key.namespace, owner));
        for batch in slow_start(count) {
            let requests = (0..batch).map(|_| {
                let (api, pod) = (Api::<Pod>::namespaced(self.client.clone(), &key.namespace), Arc::clone(&pod));
                async move { api.create(&PostParams::default(), &pod).await }
            });
            let mut stopped = None;
            for answer in all_at_once(requests).await? {
                match answer {
                    Ok(created) => {
                        let name = created.metadata.name.clone().unwrap_or_default();
                        self.pods.observe(created);
                        self.recorder.normal(found, "SuccessfulCreate", format!("Created pod: {name}"));
                    }
                    Err(error) if is_namespace_terminating(&error) => {
                        stopped = Some(Stopped { failure: None, error: None })
                    }
                    Err(error) => {
                        let message = message_of(&error);
                        self.recorder.warning(found, "FailedCreate", format!("Error creating: {message}"));
                        let error =
                            Error::Api { action: format!("create a pod of {} {key}", S::kind(&())), source: error };
                        stopped = Some(Stopped { failure: Some(Failure::Create(message)), error: Some(error) });
                    }
                }
            }
            if let Some(stopped) = stopped {
                return Err(stopped);
            }
        }
        Ok(())
    }

    async fn delete(&self, key: &ObjectKey, set: &S, victims: Vec<Arc<Pod>>) -> Result<(), Stopped> {
        let requests = victims.into_iter().map(|pod| {
            let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
            async move {
                let uid = pod.metadata.uid.clone();
                let same = DeleteParams::default().preconditions(Preconditions { uid, resource_version: None });
                let answer = api.delete(pod.metadata.name.as_deref().unwrap_or_default(), &same).await;
                (pod, answer)
            }
        });
        let mut stopped = None;
        for (pod, answer) in all_at_once(requests).await? {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            match answer {
                Ok(answer) => {
                    match answer.left() {
                        Some(terminating) if terminating.metadata.deletion_timestamp.is_some() => {
                            self.pods.observe(terminating)
                        }
                        _ => self.gone(&pod.metadata),
                    }
                    self.recorder.normal(set, "SuccessfulDelete", format!("Deleted pod: {name}"));
                }
                Err(error) if is_not_found(&error) => self.gone(&pod.metadata),
                Err(error) => {
                    let message = message_of(&error);
                    self.recorder.warning(set, "FailedDelete", format!("Error deleting: {message}"));
                    let error =
                        Error::Api { action: format!("delete pod {name} of {} {key}", S::kind(&())), source: error };
                    stopped = Some(Stopped { failure: Some(Failure::Delete(message)), error: Some(error) });
                }
            }
        }
        stopped.map_or(Ok(()), Err)
    }

    fn gone(&self, metadata: &ObjectMeta) {
        self.pods.observe_gone(&ObjectKey::of(metadata), metadata.uid.as_deref().unwrap_or_default());
    }

    /// Writes the status if it changed; says when time alone will change it.
    async fn report(&self, key: &ObjectKey, failure: Option<&Failure>) -> Result<Option<std::time::Duration>, Error> {
        let Some(found) = self.sets.get(key) else { return Ok(None) };
        let set = found.as_replica_set();
        let pods = self.pods_by_controller.get(set.metadata.uid.as_deref().unwrap_or_default());
        let observed = Observed { replica_set: &set, pods: &pods, related: &[], now: Timestamp::now() };
        let (status, recheck) = replica_set::status(&observed, failure);
        let Some(renewed) = found.with_status(status) else { return Ok(recheck) };
        let api: Api<S> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
            Ok(written) => self.sets.observe(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).trying(|| format!("report the status of {} {key}", S::kind(&()))),
        }
        Ok(recheck)
    }
}

/// Why a plan was not carried out to its end.
struct Stopped {
    /// For the status.
    failure: Option<Failure>,
    /// For the queue; none where trying again is of no use.
    error: Option<Error>,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self { failure: None, error: Some(error) }
    }
}

fn selector_of(set: &ReplicaSet) -> Result<LabelSelector, Error> {
    let Some(spec) = &set.spec else { return Ok(LabelSelector::nothing()) };
    LabelSelector::try_from(&spec.selector)
        .map_err(|source| Error::Selector { object: format!("replica set {}", ObjectKey::of(&set.metadata)), source })
}
