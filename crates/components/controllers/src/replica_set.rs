//! ReplicaSets and ReplicationControllers: watches sets and pods, creates and deletes pods, reports.
//!
//! A ReplicationController is a ReplicaSet in older clothes ([`Replicated`]): one controller serves both.

mod replicated;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::ownership::controller_of;
use minato_workloads::replica_set::{self, Failure, Observed, pod_from_template, slow_start};

use crate::Context;
use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_namespace_terminating, is_not_found, message_of};
use crate::pods::{Pods, name_of, reference};
use crate::reconciler::{Reconciler, enqueue};

pub(crate) use replicated::Replicated;

struct Controller<S> {
    client: Client,
    sets: Informer<S>,
    sets_by_controller: Index<S>,
    pods: Pods,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

impl<S> Clone for Controller<S> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            sets: self.sets.clone(),
            sets_by_controller: self.sets_by_controller.clone(),
            pods: self.pods.clone(),
            recorder: self.recorder.clone(),
            queue: self.queue.clone(),
        }
    }
}

pub(crate) fn start<S: Replicated>(context: &Context) {
    let sets = context.informers.of::<S>();
    let controller = Controller {
        client: context.client.clone(),
        sets_by_controller: sets.by_controller(),
        pods: Pods::of(context),
        recorder: context.events.recorder(S::COMPONENT, None),
        queue: Queue::new(&S::plural(&()), Backoff::default()),
        sets,
    };
    context.start(controller, context.workers);
}

impl<S: Replicated> Reconciler for Controller<S> {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.sets.synced(), self.pods.informer.synced());
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.sets, &self.queue);
        self.pods.wake(&self.queue, &self.sets);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(found) = self.sets.get(key) else { return Ok(Next::Done) };
        let set = found.as_replica_set();
        let pods = self.pods.claim::<S>(&set.metadata, &selector_of(&set)?).await?;
        let related = self.related(&set, &pods);
        let observed = Observed { replica_set: &set, pods: &pods, related: &related, now: Timestamp::now() };
        let plan = replica_set::plan(&observed);
        // A burst is bounded: what is left follows at once.
        let more = plan.create.max(plan.delete.len()) >= replica_set::BURST_REPLICAS;
        let wait = plan.wait;
        let outcome = if plan.is_empty() { Ok(()) } else { self.carry_out(key, &found, plan).await };
        let failure = outcome.as_ref().err().and_then(|stopped| stopped.failure.clone());
        let recheck = self.report(key, failure.as_ref()).await?;
        match outcome {
            Ok(()) if more => {
                self.queue.add(key.clone());
                Ok(Next::Done)
            }
            Ok(()) => Ok(recheck.into_iter().chain(wait).min().map_or(Next::Done, Next::After)),
            Err(Stopped { error: Some(error), .. }) => Err(error),
            Err(Stopped { error: None, .. }) => Ok(Next::Done),
        }
    }
}

impl<S: Replicated> Controller<S> {
    /// The active pods of all sets under the same controller.
    fn related(&self, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(owner) = controller_of(&set.metadata) else { return pods.to_vec() };
        let sets = self.sets_by_controller.get(&owner.uid);
        sets.iter().flat_map(|set| self.pods.controlled_by(set.meta().uid.as_deref().unwrap_or_default())).collect()
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
        let pod = Arc::new(pod_from_template(template, &key.namespace, reference::<S>(&set.metadata)));
        for batch in slow_start(count) {
            let requests = (0..batch).map(|_| {
                let (pods, pod) = (self.pods.clone(), Arc::clone(&pod));
                async move { pods.create(&pod).await }
            });
            let mut stopped = None;
            for answer in all_at_once(requests).await? {
                match answer {
                    Ok(name) => self.recorder.normal(found, "SuccessfulCreate", format!("Created pod: {name}")),
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
            let pods = self.pods.clone();
            async move {
                let answer = pods.delete(&pod).await;
                (pod, answer)
            }
        });
        let mut stopped = None;
        for (pod, answer) in all_at_once(requests).await? {
            let name = name_of(&pod);
            match answer {
                Ok(()) => self.recorder.normal(set, "SuccessfulDelete", format!("Deleted pod: {name}")),
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

    /// Writes the status if it changed; says when time alone will change it.
    async fn report(&self, key: &ObjectKey, failure: Option<&Failure>) -> Result<Option<std::time::Duration>, Error> {
        let Some(found) = self.sets.get(key) else { return Ok(None) };
        let set = found.as_replica_set();
        let pods = self.pods.controlled_by(set.metadata.uid.as_deref().unwrap_or_default());
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
