//! Makes the claims of pods' ephemeral volumes.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::PostParams;
use minato_client::{Backoff, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_workloads::pod::is_finished;
use minato_workloads::volume::{ephemeral_claim, is_made_for};

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_namespace_terminating, is_not_found, message_of};
use crate::reconciler::Reconciler;

#[derive(Clone)]
struct Controller {
    client: kube::Client,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let controller = Controller {
        client: context.client.clone(),
        pods: context.informers.of::<Pod>(),
        claims: context.informers.of::<PersistentVolumeClaim>(),
        recorder: context.events.recorder("ephemeral_volume", None),
        queue: Queue::new("ephemeral volumes", Backoff::default()),
    };
    context.start(controller, 4);
}

fn has_ephemeral(pod: &Pod) -> bool {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).any(|volume| volume.ephemeral.is_some())
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.pods.synced(), self.claims.synced());
    }

    fn listen(&self, _scope: &Scope) {
        let queue = self.queue.clone();
        self.pods.on_change(move |change| {
            if let Some(pod) = change.after.as_ref().filter(|pod| has_ephemeral(pod)) {
                queue.add(ObjectKey::of(&pod.metadata));
            }
        });
        let (queue, pods) = (self.queue.clone(), self.pods.clone());
        self.claims.on_change(move |change| {
            let (Some(claim), None) = (&change.before, &change.after) else { return };
            let owners = claim.metadata.owner_references.iter().flatten();
            for owner in owners.filter(|owner| owner.kind == "Pod" && owner.controller == Some(true)) {
                let key = ObjectKey::new(claim.metadata.namespace.as_deref().unwrap_or_default(), &owner.name);
                if pods.get(&key).is_some() {
                    queue.add(key);
                }
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::Done) };
        if pod.metadata.deletion_timestamp.is_some() || is_finished(&pod) {
            return Ok(Next::Done);
        }
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            if let Some(claim) = ephemeral_claim(&pod, volume) {
                self.ensure(&pod, key, &claim).await?;
            }
        }
        Ok(Next::Done)
    }
}

impl Controller {
    async fn ensure(&self, pod: &Pod, key: &ObjectKey, claim: &PersistentVolumeClaim) -> Result<(), Error> {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        if let Some(found) = self.claims.get(&ObjectKey::new(&key.namespace, name)) {
            return Ok(is_made_for(pod, &found)?);
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), claim).await {
            Ok(made) => {
                self.claims.observe(made);
                Ok(())
            }
            Err(error) if is_namespace_terminating(&error) || is_not_found(&error) => Ok(()),
            Err(error) if is_already_exists(&error) => {
                let found = api.get_opt(name).await.trying(|| format!("get claim {}/{name}", key.namespace))?;
                Ok(found.map_or(Ok(()), |found| is_made_for(pod, &found))?)
            }
            Err(error) => {
                let message = format!("ephemeral volume creation failed: {}", message_of(&error));
                self.recorder.warning(pod, "FailedBinding", message);
                Err(error).trying(|| format!("create claim {}/{name}", key.namespace))
            }
        }
    }
}
