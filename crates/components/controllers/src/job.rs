//! Jobs: watches Jobs and pods, makes and ends pods, counts those that finished, reports.
//!
//! What is counted is written to the status before the pod's finalizer goes, so that the controller can die anywhere.

mod orphans;
mod pods;
mod ttl;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::job::{self, BURST_PODS, Observed, Report, TRACKING};
use parking_lot::Mutex;

use crate::Context;
use crate::batch::all_at_once;
use crate::error::{Error, Trying as _, is_not_found};
use crate::pods::{Controlling, Pods, name_of};
use crate::reconciler::Reconciler;

/// Status, finalizers, settled status: more rounds than these are for the next look.
const ROUNDS_MAX: usize = 4;

#[derive(Clone)]
struct Controller {
    client: Client,
    jobs: Informer<Job>,
    pods: Pods,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
    /// Failures of each Job since its last success.
    backoffs: Arc<Mutex<HashMap<String, job::Backoff>>>,
}

impl Controlling for Job {
    const FINALIZER: Option<&'static str> = Some(TRACKING);

    fn selector(&self) -> Option<LabelSelector> {
        LabelSelector::try_from(self.spec.as_ref()?.selector.as_ref()?).ok()
    }
}

pub(crate) fn start(context: &Context) {
    let controller = Controller {
        client: context.client.clone(),
        jobs: context.informers.of::<Job>(),
        pods: Pods::of(context),
        recorder: context.events.recorder("job-controller", None),
        queue: Queue::new("jobs", Backoff::default()),
        backoffs: Arc::default(),
    };
    ttl::start(context, controller.jobs.clone());
    context.start(controller, context.workers);
}

fn uid_of(job: &Job) -> &str {
    job.metadata.uid.as_deref().unwrap_or_default()
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.jobs.synced(), self.pods.informer.synced());
    }

    fn listen(&self, scope: &Scope) {
        orphans::start(self, scope);
        let (queue, backoffs) = (self.queue.clone(), Arc::clone(&self.backoffs));
        self.jobs.on_change(move |change| match (&change.before, &change.after) {
            (_, Some(job)) => queue.add(ObjectKey::of(&job.metadata)),
            (Some(gone), None) => drop(backoffs.lock().remove(uid_of(gone))),
            (None, None) => {}
        });
        self.pods.wake(&self.queue, &self.jobs);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(job) = self.jobs.get(key).filter(|job| !job::is_managed_elsewhere(job)) else {
            return Ok(Next::Done);
        };
        let Some(selector) = job.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return Ok(Next::Done) };
        let selector = LabelSelector::try_from(selector)
            .map_err(|source| Error::Selector { object: format!("job {key}"), source })?;
        let pods = self.pods.claim::<Job>(&job.metadata, &selector).await?;
        let backoff = self.backoff_of(&job);
        let plan = job::plan(&Observed { job: &job, pods: &pods, backoff: &backoff, now: Timestamp::now() });
        let more = plan.create.len().max(plan.delete.len()) >= BURST_PODS;
        let wait = plan.wait;
        let outcome = self.carry_out(&job, plan).await;
        let recheck = self.account(key, uid_of(&job)).await?;
        match outcome {
            Err(Some(error)) => return Err(error),
            Ok(()) if more => self.queue.add(key.clone()),
            _ => {}
        }
        Ok([recheck, wait].into_iter().flatten().min().map_or(Next::Done, Next::After))
    }
}

impl Controller {
    fn backoff_of(&self, job: &Job) -> job::Backoff {
        self.backoffs.lock().get(uid_of(job)).cloned().unwrap_or_default()
    }

    /// Writes what is counted, lets the counted pods go, and again, until there is nothing new. Says when time alone
    /// will change something.
    async fn account(&self, key: &ObjectKey, uid: &str) -> Result<Option<Duration>, Error> {
        let mut recheck = None;
        for _ in 0..ROUNDS_MAX {
            let Some(job) = self.jobs.get(key).filter(|job| uid_of(job) == uid) else { return Ok(None) };
            let (pods, backoff) = (self.pods.controlled_by(uid), self.backoff_of(&job));
            let observed = Observed { job: &job, pods: &pods, backoff: &backoff, now: Timestamp::now() };
            let report = job::report(&observed);
            recheck = report.recheck;
            if !self.write(&job, &report).await? {
                return Ok(None);
            }
            if report.release.is_empty() {
                return Ok(recheck);
            }
            self.release(report.release).await?;
        }
        self.queue.add(key.clone());
        Ok(recheck)
    }

    /// Whether the Job is still there.
    async fn write(&self, job: &Job, report: &Report) -> Result<bool, Error> {
        if report.changes(job) {
            let key = ObjectKey::of(&job.metadata);
            let renewed = Job { status: Some(report.status.clone()), ..job.clone() };
            let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
                Ok(written) => self.jobs.observe(written),
                Err(error) if is_not_found(&error) => return Ok(false),
                Err(error) => return Err(error).trying(|| format!("report the status of job {key}")),
            }
            for event in &report.events {
                match event.warning {
                    true => self.recorder.warning(job, &event.reason, event.message.as_str()),
                    false => self.recorder.normal(job, &event.reason, event.message.as_str()),
                }
            }
        }
        self.backoffs.lock().insert(uid_of(job).to_owned(), report.backoff.clone());
        Ok(true)
    }

    async fn release(&self, counted: Vec<Arc<Pod>>) -> Result<(), Error> {
        let requests = counted.into_iter().map(|pod| {
            let pods = self.pods.clone();
            async move { (pods.remove_finalizer(&pod, TRACKING).await, pod) }
        });
        for (answer, pod) in all_at_once(requests).await? {
            answer.trying(|| format!("remove the finalizer of pod {}", name_of(&pod)))?;
        }
        Ok(())
    }
}
