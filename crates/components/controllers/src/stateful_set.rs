//! StatefulSets: watches sets, pods, claims and revisions, carries out the steps, reports.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::history::{self, CONTROLLER_REVISION_HASH, Owner};
use minato_workloads::stateful_set::{self, Observed, Revision, Step};

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_namespace_terminating, is_not_found, message_of};
use crate::history::{History, Kept};
use crate::patience::Patience;
use crate::pods::{Controlling, Pods, name_of, reference};
use crate::reconciler::{Reconciler, enqueue};

/// The longest that a pod which cannot run, say because its node refuses it, waits for the next in its place.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Controller {
    client: Client,
    sets: Informer<StatefulSet>,
    pods: Pods,
    claims: Informer<PersistentVolumeClaim>,
    history: History,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
    patience: Arc<Patience>,
}

impl Controlling for StatefulSet {
    fn selector(&self) -> Option<LabelSelector> {
        LabelSelector::try_from(&self.spec.as_ref()?.selector).ok()
    }
}

pub(crate) fn start(context: &Context) {
    let controller = Controller {
        client: context.client.clone(),
        sets: context.informers.of::<StatefulSet>(),
        pods: Pods::of(context),
        claims: context.informers.of::<PersistentVolumeClaim>(),
        history: History::of(context),
        recorder: context.events.recorder("statefulset-controller", None),
        queue: Queue::new("statefulsets", Backoff::default()),
        patience: Arc::new(Patience::new(PATIENCE_MAX)),
    };
    context.start(controller, context.workers);
}

/// The revisions between which a set rolls, with their templates.
struct Rollout {
    current: (String, PodTemplateSpec),
    update: (String, PodTemplateSpec),
}

impl Rollout {
    fn of(set: &StatefulSet, kept: &Kept) -> Self {
        let named = |revision: &ControllerRevision| {
            let template = history::template_of(revision)?;
            Some((revision.metadata.name.clone().unwrap_or_default(), template))
        };
        let present = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let update = (kept.newest.metadata.name.clone().unwrap_or_default(), present);
        let current = set.status.as_ref().and_then(|status| status.current_revision.as_ref());
        let current = current
            .and_then(|name| kept.revisions.iter().find(|revision| revision.metadata.name.as_ref() == Some(name)));
        Self { current: current.and_then(|revision| named(revision)).unwrap_or_else(|| update.clone()), update }
    }

    fn current(&self) -> Revision<'_> {
        Revision { name: &self.current.0, template: &self.current.1 }
    }

    fn update(&self) -> Revision<'_> {
        Revision { name: &self.update.0, template: &self.update.1 }
    }
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(
            self.sets.synced(),
            self.pods.informer.synced(),
            self.claims.synced(),
            self.history.revisions.synced()
        );
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.sets, &self.queue);
        self.pods.wake(&self.queue, &self.sets);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(set) = self.sets.get(key) else { return Ok(Next::Done) };
        let Some(spec) = &set.spec else { return Ok(Next::Done) };
        let selector = LabelSelector::try_from(&spec.selector)
            .map_err(|source| Error::Selector { object: format!("stateful set {key}"), source })?;
        let pods = self.pods.claim::<StatefulSet>(&set.metadata, &selector).await?;
        if set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let owner = Owner {
            metadata: &set.metadata,
            reference: reference::<StatefulSet>(&set.metadata),
            template: &spec.template,
            collision_count: set.status.as_ref().and_then(|status| status.collision_count),
        };
        let kept = self.history.keep(&owner).await?;
        let rollout = Rollout::of(&set, &kept);
        let steps = stateful_set::plan(&Observed {
            set: &set,
            pods: &pods,
            claim: &|name| self.claims.get(&ObjectKey::new(&key.namespace, name)),
            current: rollout.current(),
            update: rollout.update(),
            now: Timestamp::now(),
        });
        let (mut outcome, mut pause) = (Ok(()), None);
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        for step in steps {
            if let Step::Recreate(pod) = &step
                && let Some(wait) = self.patience.wait(uid, name_of(pod))
            {
                pause = Some(pause.map_or(wait, |sooner: Duration| sooner.min(wait)));
                continue;
            }
            outcome = self.carry_out(&set, step).await;
            if outcome.is_err() {
                break;
            }
        }
        let recheck = self.report(&set, &rollout, kept.collision_count).await?;
        self.prune(&set, &kept, &rollout).await?;
        outcome?;
        Ok(recheck.into_iter().chain(pause).min().map_or(Next::Done, Next::After))
    }
}

impl Controller {
    async fn carry_out(&self, set: &StatefulSet, step: Step) -> Result<(), Error> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let of_set = set.metadata.name.as_deref().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        // What is done, on what, and how its events are called.
        let (verb, object, reason, answer) = match step {
            Step::CreateClaim(claim) => {
                let name = claim.metadata.name.clone().unwrap_or_default();
                let answer = match claims.create(&PostParams::default(), &claim).await {
                    Ok(created) => {
                        self.claims.observe(created);
                        Ok(())
                    }
                    Err(error) if is_already_exists(&error) => Ok(()),
                    Err(error) => Err(error),
                };
                ("create", format!("Claim {name}"), "Create", answer)
            }
            Step::UpdateClaim(claim) => {
                let name = claim.metadata.name.clone().unwrap_or_default();
                let answer = claims.replace(&name, &PostParams::default(), &claim).await;
                let answer = answer.map(|written| self.claims.observe(written));
                return answer.trying(|| format!("update claim {namespace}/{name} of stateful set {of_set}"));
            }
            Step::CreatePod(pod) => {
                let name = name_of(&pod).to_owned();
                match self.pods.create(&pod).await {
                    Err(error) if is_namespace_terminating(&error) => return Ok(()),
                    answer => ("create", format!("Pod {name}"), "Create", answer.map(drop)),
                }
            }
            Step::Relabel(pod, wanted) => {
                let labels = serde_json::json!({"metadata": {"labels": wanted.metadata.labels}});
                let answer = self.pods.patch(&pod.metadata, &labels).await.map(drop);
                ("update", format!("Pod {}", name_of(&pod)), "Update", answer)
            }
            Step::Recreate(pod) => {
                let what = match minato_workloads::pod::phase(&pod) {
                    "Failed" => ("RecreatingFailedPod", "failed"),
                    _ => ("RecreatingTerminatedPod", "terminated"),
                };
                let message =
                    format!("StatefulSet {namespace}/{of_set} is recreating {} Pod {}", what.1, name_of(&pod));
                self.recorder.warning(set, what.0, message);
                self.delete(&pod).await
            }
            Step::DeletePod(pod) => self.delete(&pod).await,
        };
        match answer {
            Ok(()) => {
                let message = format!("{verb} {object} in StatefulSet {of_set} successful");
                self.recorder.normal(set, &format!("Successful{reason}"), message);
                Ok(())
            }
            Err(source) => {
                let message = format!("{verb} {object} in StatefulSet {of_set} failed error: {}", message_of(&source));
                self.recorder.warning(set, &format!("Failed{reason}"), message);
                Err(source).trying(|| format!("{verb} {object} of stateful set {namespace}/{of_set}"))
            }
        }
    }

    async fn delete(&self, pod: &Pod) -> (&'static str, String, &'static str, Result<(), kube::Error>) {
        ("delete", format!("Pod {}", name_of(pod)), "Delete", self.pods.delete(pod).await)
    }

    /// Writes the status if it changed; says when time alone will change it.
    async fn report(
        &self,
        set: &StatefulSet,
        rollout: &Rollout,
        collision_count: Option<i32>,
    ) -> Result<Option<std::time::Duration>, Error> {
        let key = ObjectKey::of(&set.metadata);
        let pods = self.pods.controlled_by(set.metadata.uid.as_deref().unwrap_or_default());
        let (mut status, recheck) = stateful_set::status(&Observed {
            set,
            pods: &pods,
            claim: &|_| None,
            current: rollout.current(),
            update: rollout.update(),
            now: Timestamp::now(),
        });
        status.collision_count = collision_count.or(status.collision_count);
        let status = Some(status);
        if set.status == status {
            return Ok(recheck);
        }
        let renewed = StatefulSet { status, ..set.clone() };
        let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
            Ok(written) => self.sets.observe(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).trying(|| format!("report the status of stateful set {key}")),
        }
        Ok(recheck)
    }

    async fn prune(&self, set: &StatefulSet, kept: &Kept, rollout: &Rollout) -> Result<(), Error> {
        let limit = set.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        let pods: Vec<Arc<Pod>> = self.pods.controlled_by(set.metadata.uid.as_deref().unwrap_or_default());
        let is_live = |revision: &ControllerRevision| {
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            let labels = |pod: &Pod| {
                let labels = pod.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(CONTROLLER_REVISION_HASH)).is_some_and(|have| have == name)
            };
            name == rollout.current.0 || name == rollout.update.0 || pods.iter().any(|pod| labels(pod))
        };
        self.history.prune(&history::surplus(&kept.revisions, limit, is_live)).await
    }
}
