//! CronJobs: watches CronJobs and their Jobs, starts what is due, keeps the history short, reports.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_workloads::cron_job::{self, Observed, Start, replaced, started};
use minato_workloads::job::Event;
use minato_workloads::ownership::{controller_of, is_controlled_by};

use crate::Context;
use crate::error::{
    Error, Trying as _, is_already_exists, is_conflict, is_namespace_terminating, is_not_found, message_of,
};
use crate::reconciler::{Reconciler, enqueue};

#[derive(Clone)]
struct Controller {
    client: Client,
    cron_jobs: Informer<CronJob>,
    jobs: Informer<Job>,
    jobs_by_controller: Index<Job>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let jobs = context.informers.of::<Job>();
    let controller = Controller {
        client: context.client.clone(),
        cron_jobs: context.informers.of::<CronJob>(),
        jobs_by_controller: jobs.by_controller(),
        jobs,
        recorder: context.events.recorder("cronjob-controller", None),
        queue: Queue::new("cronjobs", Backoff::default()),
    };
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
        tokio::join!(self.cron_jobs.synced(), self.jobs.synced());
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.cron_jobs, &self.queue);
        let queue = self.queue.clone();
        self.jobs.on_change(move |change| {
            for job in change.both() {
                if let Some(owner) = controller_of(&job.metadata).filter(|owner| owner.kind == "CronJob") {
                    queue.add(ObjectKey::new(job.metadata.namespace.as_deref().unwrap_or_default(), &owner.name));
                }
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(cron_job) = self.cron_jobs.get(key) else { return Ok(Next::Done) };
        let jobs = self.jobs_of(key, &cron_job).await?;
        let plan = cron_job::plan(&Observed { cron_job: &cron_job, jobs: &jobs, now: Timestamp::now() });
        self.tell(&cron_job, &plan.events);
        for job in &plan.surplus {
            self.delete(&cron_job, key, &reference_to(job)).await?;
        }
        let mut status = plan.status;
        let outcome = match plan.start {
            Some(start) => self.start(&cron_job, key, start, &mut status).await,
            None => Ok(()),
        };
        self.report(&cron_job, key, status).await?;
        outcome.map(|()| plan.wait.map_or(Next::Done, Next::After))
    }
}

impl Controller {
    fn jobs_in(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn tell(&self, cron_job: &CronJob, events: &[Event]) {
        for event in events {
            match event.warning {
                true => self.recorder.warning(cron_job, &event.reason, event.message.as_str()),
                false => self.recorder.normal(cron_job, &event.reason, event.message.as_str()),
            }
        }
    }

    /// The Jobs that the CronJob controls. The watch of Jobs may be behind that of CronJobs: what only the status knows is
    /// asked for.
    async fn jobs_of(&self, key: &ObjectKey, cron_job: &CronJob) -> Result<Vec<Arc<Job>>, Error> {
        let mut jobs = self.jobs_by_controller.get(cron_job.metadata.uid.as_deref().unwrap_or_default());
        for active in cron_job.status.iter().flat_map(|status| status.active.iter().flatten()) {
            let uid = active.uid.as_deref().unwrap_or_default();
            if jobs.iter().any(|job| uid_of(job) == uid) {
                continue;
            }
            let name = active.name.as_deref().unwrap_or_default();
            let found = self.jobs_in(&key.namespace).get_opt(name).await;
            let found = found.trying(|| format!("get job {}/{name}", key.namespace))?;
            jobs.extend(found.filter(|job| uid_of(job) == uid).map(Arc::new));
        }
        Ok(jobs)
    }

    async fn start(
        &self,
        cron_job: &CronJob,
        key: &ObjectKey,
        start: Start,
        status: &mut CronJobStatus,
    ) -> Result<(), Error> {
        for job in &start.replaces {
            self.delete(cron_job, key, job).await?;
            replaced(status, job);
        }
        let api = self.jobs_in(&key.namespace);
        let name = start.job.metadata.name.clone().unwrap_or_default();
        let made = match api.create(&PostParams::default(), &start.job).await {
            Ok(made) => {
                self.recorder.normal(cron_job, "SuccessfulCreate", format!("Created job {name}"));
                made
            }
            Err(error) if is_already_exists(&error) => {
                // Made before a crash, and not written down; or somebody else's.
                let found = api.get_opt(&name).await.trying(|| format!("get job {}/{name}", key.namespace))?;
                let uid = cron_job.metadata.uid.as_deref().unwrap_or_default();
                match found.filter(|job| is_controlled_by(&job.metadata, uid)) {
                    Some(found) => found,
                    None => return Ok(()),
                }
            }
            Err(error) if is_namespace_terminating(&error) => return Ok(()),
            Err(source) => {
                let message = format!("Error creating job: {}", message_of(&source));
                self.recorder.warning(cron_job, "FailedCreate", message);
                return Err(Error::Api { action: format!("create a job of cron job {key}"), source });
            }
        };
        started(status, &made, start.due);
        self.jobs.observe(made);
        Ok(())
    }

    /// Deletes a Job and what it controls; one that is gone already is no error.
    async fn delete(&self, cron_job: &CronJob, key: &ObjectKey, job: &ObjectReference) -> Result<(), Error> {
        let name = job.name.as_deref().unwrap_or_default();
        let same = Preconditions { uid: job.uid.clone(), resource_version: None };
        let how = DeleteParams::background().preconditions(same);
        match self.jobs_in(&key.namespace).delete(name, &how).await {
            Ok(_) => {
                self.recorder.normal(cron_job, "SuccessfulDelete", format!("Deleted job {name}"));
                self.jobs.observe_gone(&ObjectKey::new(&key.namespace, name), job.uid.as_deref().unwrap_or_default());
                Ok(())
            }
            Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(()),
            Err(source) => {
                self.recorder.warning(cron_job, "FailedDelete", format!("Deleted job: {}", message_of(&source)));
                Err(Error::Api { action: format!("delete job {}/{name}", key.namespace), source })
            }
        }
    }

    async fn report(&self, cron_job: &CronJob, key: &ObjectKey, status: CronJobStatus) -> Result<(), Error> {
        if cron_job.status.clone().unwrap_or_default() == status {
            return Ok(());
        }
        let renewed = CronJob { status: Some(status), ..cron_job.clone() };
        let api: Api<CronJob> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
            Ok(written) => self.cron_jobs.observe(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).trying(|| format!("report the status of cron job {key}")),
        }
        Ok(())
    }
}

fn reference_to(job: &Job) -> ObjectReference {
    ObjectReference { name: job.metadata.name.clone(), uid: job.metadata.uid.clone(), ..ObjectReference::default() }
}
