//! Deployments: watches them, their ReplicaSets and (for Recreate) their pods; writes ReplicaSets and reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use minato_client::{Backoff, Change, Index, Informer, Next, ObjectKey, Queue, Recorder};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::deployment::{self, Observed, REVISION, Step, same_template};
use minato_workloads::ownership::{Claim, claim, controller_of, controller_reference, is_controlled_by};
use minato_workloads::replica_set::desired_replicas;

use crate::Context;
use crate::error::{Error, Trying as _, is_already_exists, is_namespace_terminating, is_not_found, message_of};
use crate::reconciler::{Reconciler, enqueue};

const KIND: &str = "Deployment";

#[derive(Clone)]
struct Controller {
    client: Client,
    deployments: Informer<Deployment>,
    deployments_by_namespace: Index<Deployment>,
    sets: Informer<ReplicaSet>,
    sets_by_controller: Index<ReplicaSet>,
    orphans: Index<ReplicaSet>,
    pods: Informer<Pod>,
    pods_by_controller: Index<Pod>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context) {
    let deployments = context.informers.of::<Deployment>();
    let sets = context.informers.of::<ReplicaSet>();
    let pods = context.informers.of::<Pod>();
    let controller = Controller {
        client: context.client.clone(),
        deployments_by_namespace: deployments.by_namespace(),
        sets_by_controller: sets.by_controller(),
        orphans: sets.index("orphan", |set| match controller_of(&set.metadata) {
            Some(_) => Vec::new(),
            None => set.metadata.namespace.clone().into_iter().collect(),
        }),
        pods_by_controller: pods.by_controller(),
        recorder: context.events.recorder("deployment-controller", None),
        queue: Queue::new("deployments", Backoff::default()),
        deployments,
        sets,
        pods,
    };
    context.start(controller, context.workers);
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(self.deployments.synced(), self.sets.synced(), self.pods.synced());
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.deployments, &self.queue);
        let controller = self.clone();
        self.sets.on_change(move |change| controller.set_changed(change));
        let controller = self.clone();
        self.pods.on_change(move |change| {
            if let Change { before: Some(pod), after: None } = change {
                controller.pod_gone(pod);
            }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(found) = self.deployments.get(key) else { return Ok(Next::Done) };
        let selector = selector_of(&found)?;
        if selector.is_everything() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.recorder.warning(&*found, "SelectingAll", message);
            return Ok(Next::Done);
        }
        let sets = self.claim_sets(key, &found, &selector).await?;
        let pods = if is_recreated(&found) { self.pods_of(&sets) } else { BTreeMap::new() };
        let observed = Observed { deployment: &found, replica_sets: &sets, pods: &pods, now: Timestamp::now() };
        let plan = deployment::plan(&observed);

        let mut current = Arc::clone(&found);
        for step in plan.steps {
            match self.carry_out(key, &current, step).await? {
                Done::Step => {}
                Done::Deployment(renewed) => current = renewed,
                Done::Stop => return Ok(Next::Done),
            }
        }
        self.report(key, &found, with_status(&current, plan.status)).await?;
        Ok(plan.recheck.map_or(Next::Done, Next::After))
    }
}

impl Controller {
    fn set_changed(&self, change: &Change<ReplicaSet>) {
        for set in change.both() {
            if let Some(owner) = controller_of(&set.metadata).filter(|owner| owner.kind == KIND) {
                self.queue.add(ObjectKey::new(set.metadata.namespace.as_deref().unwrap_or_default(), &owner.name));
            }
        }
        let Some(orphan) = change.after.as_ref().filter(|set| controller_of(&set.metadata).is_none()) else { return };
        let Some(labels) = &orphan.metadata.labels else { return };
        for deployment in self.deployments_by_namespace.get(orphan.metadata.namespace.as_deref().unwrap_or_default()) {
            if selector_of(&deployment).is_ok_and(|selector| selector.matches_labels(labels)) {
                self.queue.add(ObjectKey::of(&deployment.metadata));
            }
        }
    }

    /// The end of an old pod lets a Recreate rollout go on.
    fn pod_gone(&self, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(owner) = controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet") else { return };
        let Some(set) = self.sets.get(&ObjectKey::new(namespace, &owner.name)) else { return };
        let Some(owner) = controller_of(&set.metadata).filter(|owner| owner.kind == KIND) else { return };
        let key = ObjectKey::new(namespace, &owner.name);
        if self.deployments.get(&key).is_some_and(|deployment| is_recreated(&deployment)) {
            self.queue.add(key);
        }
    }

    /// The sets of the Deployment, after taking orphans that match and letting go those that do not match any more.
    async fn claim_sets(
        &self,
        key: &ObjectKey,
        deployment: &Deployment,
        selector: &LabelSelector,
    ) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
        let mut sets = Vec::new();
        for set in self.sets_by_controller.get(uid).into_iter().chain(self.orphans.get(&key.namespace)) {
            match claim(&deployment.metadata, selector, &set.metadata) {
                Claim::Own => sets.push(set),
                Claim::Leave => {}
                Claim::Adopt => sets.extend(self.adopt(key, deployment, &set).await?.map(Arc::new)),
                Claim::Release => {
                    let owners = serde_json::json!([{ "$patch": "delete", "uid": uid }]);
                    self.patch_owners(key, &set, owners).await?;
                }
            }
        }
        Ok(sets)
    }

    async fn adopt(
        &self,
        key: &ObjectKey,
        deployment: &Deployment,
        set: &ReplicaSet,
    ) -> Result<Option<ReplicaSet>, Error> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &key.namespace);
        let fresh = deployments.get_opt(&key.name).await.trying(|| format!("get deployment {key}"))?;
        let may = |fresh: &Deployment| {
            fresh.metadata.uid == deployment.metadata.uid && fresh.metadata.deletion_timestamp.is_none()
        };
        if !fresh.as_ref().is_some_and(may) {
            return Ok(None);
        }
        let owner = controller_reference("apps/v1", KIND, &deployment.metadata);
        self.patch_owners(key, set, serde_json::json!([owner])).await
    }

    async fn patch_owners(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        owners: serde_json::Value,
    ) -> Result<Option<ReplicaSet>, Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let patch = serde_json::json!({ "metadata": { "ownerReferences": owners, "uid": set.metadata.uid } });
        match self.sets_api(key).patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(set) => {
                self.sets.observe(set.clone());
                Ok(Some(set))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error).trying(|| format!("change the owner of replica set {name}")),
        }
    }

    fn pods_of(&self, sets: &[Arc<ReplicaSet>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
        let uids = sets.iter().filter_map(|set| set.metadata.uid.clone());
        uids.map(|uid| (uid.clone(), self.pods_by_controller.get(&uid))).collect()
    }

    fn sets_api(&self, key: &ObjectKey) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    async fn carry_out(&self, key: &ObjectKey, deployment: &Arc<Deployment>, step: Step) -> Result<Done, Error> {
        match step {
            Step::Create(set) => self.create(key, deployment, &set).await,
            Step::Update { replica_set, scaled } => {
                let name = replica_set.metadata.name.as_deref().unwrap_or_default();
                let written = self.sets_api(key).replace(name, &PostParams::default(), &replica_set).await;
                self.sets.observe(written.trying(|| format!("update replica set {name}"))?);
                if let Some((from, to)) = scaled {
                    self.record_scaling(deployment, name, from, to);
                }
                Ok(Done::Step)
            }
            Step::Delete(set) => {
                let name = set.metadata.name.as_deref().unwrap_or_default();
                let same = Preconditions { uid: set.metadata.uid.clone(), resource_version: None };
                match self.sets_api(key).delete(name, &DeleteParams::default().preconditions(same)).await {
                    Err(error) if !is_not_found(&error) => Err(error).trying(|| format!("delete replica set {name}")),
                    _ => Ok(Done::Step),
                }
            }
            Step::SetRevision(revision) => {
                // Written together with the status: there, unlike elsewhere, an annotation is no new generation.
                let mut noted = (**deployment).clone();
                noted.metadata.annotations.get_or_insert_default().insert(REVISION.to_owned(), revision);
                Ok(Done::Deployment(Arc::new(noted)))
            }
        }
    }

    async fn create(&self, key: &ObjectKey, deployment: &Arc<Deployment>, set: &ReplicaSet) -> Result<Done, Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        match self.sets_api(key).create(&PostParams::default(), set).await {
            Ok(created) => {
                let size = desired_replicas(&created);
                self.sets.observe(created);
                if size > 0 {
                    self.record_scaling(deployment, name, 0, size);
                }
                Ok(Done::Step)
            }
            Err(error) if is_already_exists(&error) => {
                let existing = self.sets_api(key).get(name).await.trying(|| format!("get replica set {name}"))?;
                let template = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.template.clone());
                let same =
                    template(&existing).zip(template(set)).is_some_and(|(one, other)| same_template(&one, &other));
                if same && is_controlled_by(&existing.metadata, deployment.metadata.uid.as_deref().unwrap_or_default())
                {
                    self.sets.observe(existing);
                    return Ok(Done::Step);
                }
                let status = deployment::after_collision(deployment);
                self.report(key, deployment, with_status(deployment, status)).await?;
                Err(Error::Collision { name: name.to_owned() })
            }
            Err(error) if is_namespace_terminating(&error) => Ok(Done::Stop),
            Err(error) => {
                let message = message_of(&error);
                let status = deployment::after_failed_creation(deployment, name, &message, Timestamp::now());
                self.report(key, deployment, with_status(deployment, status)).await?;
                self.recorder.warning(
                    &**deployment,
                    "ReplicaSetCreateError",
                    format!("Failed to create new replica set \"{name}\": {message}"),
                );
                Err(error).trying(|| format!("create replica set {name}"))
            }
        }
    }

    fn record_scaling(&self, deployment: &Deployment, name: &str, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        self.recorder.normal(
            deployment,
            "ScalingReplicaSet",
            format!("Scaled {direction} replica set {name} from {from} to {to}"),
        );
    }

    /// Writes the status, and the annotations, if they changed.
    async fn report(&self, key: &ObjectKey, before: &Deployment, after: Deployment) -> Result<(), Error> {
        if *before == after {
            return Ok(());
        }
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &after).await {
            Ok(written) => self.deployments.observe(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).trying(|| format!("report the status of deployment {key}")),
        }
        Ok(())
    }
}

fn with_status(deployment: &Deployment, status: DeploymentStatus) -> Deployment {
    Deployment { status: Some(status), ..deployment.clone() }
}

/// How one step ended.
enum Done {
    /// As planned.
    Step,
    /// As planned, and this is how the Deployment should be.
    Deployment(Arc<Deployment>),
    /// The namespace is being deleted: nothing more to do.
    Stop,
}

fn is_recreated(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

fn selector_of(deployment: &Deployment) -> Result<LabelSelector, Error> {
    let Some(spec) = &deployment.spec else { return Ok(LabelSelector::nothing()) };
    LabelSelector::try_from(&spec.selector).map_err(|source| Error::Selector {
        object: format!("deployment {}", ObjectKey::of(&deployment.metadata)),
        source,
    })
}
