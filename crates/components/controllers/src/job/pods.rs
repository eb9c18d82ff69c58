//! Makes and ends a Job's pods, and tells so.

use k8s_openapi::api::batch::v1::Job;
use minato_client::ObjectKey;
use minato_workloads::job::{NewPod, Plan, TRACKING, has_tracking_finalizer, pod_for};
use minato_workloads::replica_set::slow_start;

use super::Controller;
use crate::batch::all_at_once;
use crate::error::{Error, is_namespace_terminating, message_of};
use crate::pods::name_of;

/// What stopped a plan: whether trying again is of use.
pub(super) type Outcome = Result<(), Option<Error>>;

impl Controller {
    pub(super) async fn carry_out(&self, job: &Job, plan: Plan) -> Outcome {
        let deleted = self.delete(job, &plan).await;
        let created = self.create(job, plan.create).await;
        created.and(deleted)
    }

    async fn create(&self, job: &Job, new: Vec<NewPod>) -> Outcome {
        let mut new = new.into_iter();
        for batch in slow_start(new.len()) {
            let requests = new.by_ref().take(batch).map(|new| {
                let (pods, pod) = (self.pods.clone(), pod_for(job, &new));
                async move { pods.create(&pod).await }
            });
            let mut stopped = None;
            for answer in all_at_once(requests).await.map_err(Some)? {
                match answer {
                    Ok(name) => self.recorder.normal(job, "SuccessfulCreate", format!("Created pod: {name}")),
                    Err(error) if is_namespace_terminating(&error) => stopped = Some(None),
                    Err(source) => {
                        let message = format!("Error creating: {}", message_of(&source));
                        self.recorder.warning(job, "FailedCreate", message);
                        let action = format!("create a pod of job {}", ObjectKey::of(&job.metadata));
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

    async fn delete(&self, job: &Job, plan: &Plan) -> Outcome {
        let counted = plan.counted;
        let requests = plan.delete.iter().cloned().map(|pod| {
            let pods = self.pods.clone();
            async move {
                let answer = match counted || !has_tracking_finalizer(&pod) {
                    true => Ok(()),
                    false => pods.remove_finalizer(&pod, TRACKING).await,
                };
                let answer = match answer {
                    Ok(()) => pods.delete(&pod).await,
                    error => error,
                };
                (answer, pod)
            }
        });
        let mut outcome = Ok(());
        for (answer, pod) in all_at_once(requests).await.map_err(Some)? {
            let name = name_of(&pod);
            match answer {
                Ok(()) => self.recorder.normal(job, "SuccessfulDelete", format!("Deleted pod: {name}")),
                Err(source) => {
                    let message = format!("Error deleting: {}", message_of(&source));
                    self.recorder.warning(job, "FailedDelete", message);
                    let action = format!("delete pod {name} of job {}", ObjectKey::of(&job.metadata));
                    outcome = Err(Some(Error::Api { action, source }));
                }
            }
        }
        outcome
    }
}
