//! PodDisruptionBudgets: says in their status how many of their pods may be evicted now.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use minato_client::{Backoff, Index, Informer, Next, ObjectKey, Queue, Recorder, Watchable};
use minato_scope::Scope;
use minato_select::LabelSelector;
use minato_workloads::disruption::{needs_scale, plan};

use crate::Context;
use crate::discovery::Resources;
use crate::error::{Error, Trying as _, is_conflict, is_not_found, message_of};
use crate::reconciler::{Reconciler, enqueue};

#[derive(Clone)]
struct Controller {
    client: Client,
    budgets: Informer<PodDisruptionBudget>,
    budgets_by_namespace: Index<PodDisruptionBudget>,
    pods: Informer<Pod>,
    pods_by_namespace: Index<Pod>,
    deployments: Informer<Deployment>,
    replica_sets: Informer<ReplicaSet>,
    replication_controllers: Informer<ReplicationController>,
    stateful_sets: Informer<StatefulSet>,
    resources: Resources,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
}

pub(crate) fn start(context: &Context, resources: &Resources) {
    let budgets = context.informers.of::<PodDisruptionBudget>();
    let pods = context.informers.of::<Pod>();
    let controller = Controller {
        client: context.client.clone(),
        budgets_by_namespace: budgets.by_namespace(),
        budgets,
        pods_by_namespace: pods.by_namespace(),
        pods,
        deployments: context.informers.of(),
        replica_sets: context.informers.of(),
        replication_controllers: context.informers.of(),
        stateful_sets: context.informers.of(),
        resources: resources.clone(),
        recorder: context.events.recorder("controllermanager", None),
        queue: Queue::new("disruption", Backoff::default()),
    };
    context.start(controller, context.workers);
}

/// The pods that a budget covers; none where it has no selector.
fn selector_of(budget: &PodDisruptionBudget) -> LabelSelector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = selector.map(|selector| LabelSelector::try_from(selector).ok());
    selector.flatten().unwrap_or_else(LabelSelector::nothing)
}

fn covers(selector: &LabelSelector, metadata: &ObjectMeta) -> bool {
    selector.matches(|key| metadata.labels.as_ref()?.get(key).map(String::as_str))
}

fn namespace_of(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

impl Reconciler for Controller {
    type Key = ObjectKey;

    fn queue(&self) -> &Queue<ObjectKey> {
        &self.queue
    }

    async fn synced(&self) {
        tokio::join!(
            self.budgets.synced(),
            self.pods.synced(),
            self.deployments.synced(),
            self.replica_sets.synced(),
            self.replication_controllers.synced(),
            self.stateful_sets.synced()
        );
    }

    fn listen(&self, _scope: &Scope) {
        enqueue(&self.budgets, &self.queue);
        let controller = self.clone();
        self.pods.on_change(move |change| {
            for pod in change.both() {
                for budget in controller.budgets_by_namespace.get(namespace_of(&pod.metadata)) {
                    if covers(&selector_of(&budget), &pod.metadata) {
                        controller.queue.add(ObjectKey::of(&budget.metadata));
                    }
                }
            }
        });
        // How many pods there should be.
        self.follow_scale(&self.deployments, |set| set.spec.as_ref()?.replicas);
        self.follow_scale(&self.replica_sets, |set| set.spec.as_ref()?.replicas);
        self.follow_scale(&self.replication_controllers, |set| set.spec.as_ref()?.replicas);
        self.follow_scale(&self.stateful_sets, |set| set.spec.as_ref()?.replicas);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(budget) = self.budgets.get(key) else { return Ok(Next::Done) };
        let selector = selector_of(&budget);
        let mut pods = self.pods_by_namespace.get(&key.namespace);
        pods.retain(|pod| covers(&selector, &pod.metadata));
        let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
        if pods.is_empty() && budget.metadata.generation != observed(&budget) {
            self.recorder.normal(&*budget, "NoPods", "No matching pods found");
        }
        let scale = if needs_scale(&budget) { self.scale(&pods).await } else { Ok(0) };
        if let Err(why) = &scale {
            self.recorder.warning(&*budget, "CalculateExpectedPodCountFailed", why.as_str());
        }
        let plan = plan(&budget, &pods, scale, Timestamp::now());
        if budget.status.as_ref() != Some(&plan.status) {
            let mut renewed = (*budget).clone();
            renewed.status = Some(plan.status);
            let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.replace_status(&key.name, &PostParams::default(), &renewed).await {
                Ok(written) => self.budgets.observe(written),
                // Gone, or an eviction came between: the newer version is looked at when it is seen.
                Err(error) if is_not_found(&error) || is_conflict(&error) => {}
                Err(error) => return Err(error).trying(|| format!("say what {key} allows")),
            }
        }
        Ok(plan.recheck_after.map_or(Next::Done, Next::After))
    }
}

impl Controller {
    fn follow_scale<K: Watchable>(&self, informer: &Informer<K>, replicas: fn(&K) -> Option<i32>) {
        let controller = self.clone();
        informer.on_change(move |change| {
            let of = |set: &Option<Arc<K>>| set.as_ref().map(|set| replicas(set));
            if of(&change.before) == of(&change.after) {
                return;
            }
            for set in change.both() {
                for budget in controller.budgets_by_namespace.get(namespace_of(set.meta())) {
                    controller.queue.add(ObjectKey::of(&budget.metadata));
                }
            }
        });
    }

    /// How many replicas the controllers of `pods` want together. Pods without a controller count for nothing.
    async fn scale(&self, pods: &[&Pod]) -> Result<i32, String> {
        let mut wanted = HashMap::new();
        let mut asked = HashMap::new();
        for pod in pods {
            let Some(owner) = controller_of(&pod.metadata) else { continue };
            let namespace = namespace_of(&pod.metadata);
            let found = match self.scale_of(namespace, owner) {
                Some(found) => Some(found),
                None => match asked.get(&owner.uid) {
                    Some(known) => *known,
                    None => {
                        let replicas = self.custom_scale(namespace, owner).await?;
                        asked.insert(owner.uid.clone(), replicas);
                        replicas
                    }
                }
                .map(|replicas| (owner.uid.clone(), replicas)),
            };
            let (uid, replicas) = found.ok_or_else(|| {
                format!("found no controllers for pod {:?}", pod.metadata.name.as_deref().unwrap_or_default())
            })?;
            wanted.insert(uid, replicas);
        }
        Ok(wanted.values().fold(0_i32, |sum, replicas| sum.saturating_add(*replicas)))
    }

    /// How many pods an owner of any other kind wants, by its scale.
    async fn custom_scale(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<i32>, String> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let mut resource = self.resources.of_kind(group, &owner.kind);
        if resource.is_none() {
            self.resources.refresh(&self.client).await.map_err(|error| error.to_string())?;
            resource = self.resources.of_kind(group, &owner.kind);
        }
        let Some(resource) = resource.filter(|resource| resource.namespaced) else { return Ok(None) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource.api);
        match api.get_scale(&owner.name).await {
            Ok(scale) if scale.metadata.uid.as_deref() == Some(&owner.uid) => {
                Ok(Some(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0)))
            }
            Ok(_) => Ok(None),
            // Either the object is gone, or its kind has no scale.
            Err(error) if is_not_found(&error) => match api.get_metadata_opt(&owner.name).await {
                Ok(Some(_)) => Err(format!("{} does not implement the scale subresource", resource.full_name())),
                _ => Ok(None),
            },
            Err(error) => Err(message_of(&error)),
        }
    }

    /// The uid of who wants the pods in the end, and how many of them.
    fn scale_of(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        let key = ObjectKey::new(namespace, &owner.name);
        let wanted = |metadata: &ObjectMeta, replicas: Option<i32>| {
            let uid = metadata.uid.clone().filter(|uid| *uid == owner.uid)?;
            Some((uid, replicas.unwrap_or(1)))
        };
        match (owner.api_version.split('/').next()?, owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                let set = self.replica_sets.get(&key)?;
                match controller_of(&set.metadata) {
                    Some(above) if above.kind == "Deployment" => self.scale_of(namespace, above),
                    _ => wanted(&set.metadata, set.spec.as_ref()?.replicas),
                }
            }
            ("apps", "Deployment") => {
                let deployment = self.deployments.get(&key)?;
                wanted(&deployment.metadata, deployment.spec.as_ref()?.replicas)
            }
            ("apps", "StatefulSet") => {
                let set = self.stateful_sets.get(&key)?;
                wanted(&set.metadata, set.spec.as_ref()?.replicas)
            }
            ("v1", "ReplicationController") => {
                let set = self.replication_controllers.get(&key)?;
                wanted(&set.metadata, set.spec.as_ref()?.replicas)
            }
            _ => None,
        }
    }
}

fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn observed(budget: &PodDisruptionBudget) -> Option<i64> {
    budget.status.as_ref()?.observed_generation
}
