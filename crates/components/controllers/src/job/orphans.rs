//! Pods that wait to be counted by a Job that is gone: nobody will, so their finalizer goes.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use minato_client::{Backoff, Next, ObjectKey, Queue};
use minato_scope::Scope;
use minato_workloads::job::{TRACKING, has_tracking_finalizer};
use minato_workloads::ownership::controller_of;

use super::{Controller, uid_of};
use crate::error::{Error, Trying as _};

/// Orphans do not hurry.
const WORKERS: usize = 2;

pub(super) fn start(controller: &Controller, scope: &Scope) {
    let queue: Queue<ObjectKey> = Queue::new("orphans of jobs", Backoff::default());
    let (added, jobs) = (queue.clone(), controller.jobs.clone());
    controller.pods.informer.on_change(move |change| {
        let Some(pod) = change.after.as_ref().filter(|pod| has_tracking_finalizer(pod)) else { return };
        let known = owning_job(pod).is_some_and(|(key, uid)| jobs.get(&key).is_some_and(|job| uid_of(&job) == uid));
        if !known {
            added.add(ObjectKey::of(&pod.metadata));
        }
    });
    let (added, pods) = (queue.clone(), controller.pods.clone());
    controller.jobs.on_change(move |change| {
        if let Some(gone) = change.before.as_ref().filter(|_| change.after.is_none()) {
            pods.controlled_by(uid_of(gone)).iter().for_each(|pod| added.add(ObjectKey::of(&pod.metadata)));
        }
    });
    let controller = controller.clone();
    queue.work(scope, WORKERS, move |key| {
        let controller = controller.clone();
        async move { controller.release_orphan(&key).await }
    });
}

/// The Job that controls the pod: its key and uid.
fn owning_job(pod: &Pod) -> Option<(ObjectKey, &str)> {
    let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == "Job")?;
    Some((ObjectKey::new(pod.metadata.namespace.as_deref().unwrap_or_default(), &owner.name), &owner.uid))
}

impl Controller {
    async fn release_orphan(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(pod) = self.pods.informer.get(key).filter(|pod| has_tracking_finalizer(pod)) else {
            return Ok(Next::Done);
        };
        if let Some((job, uid)) = owning_job(&pod) {
            // The watch of Jobs may be behind that of pods: ask.
            let api: Api<Job> = Api::namespaced(self.client.clone(), &job.namespace);
            let found = api.get_opt(&job.name).await.trying(|| format!("get job {job}"))?;
            if found.is_some_and(|found| uid_of(&found) == uid) {
                return Ok(Next::Done);
            }
        }
        self.pods.remove_finalizer(&pod, TRACKING).await.trying(|| format!("remove the finalizer of pod {key}"))?;
        Ok(Next::Done)
    }
}
