//! What the API says of pods and nodes, boiled down to what placement needs.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use minato_placement::{Budget, Demand, Demands, Uid};
use minato_scope::Scope;
use minato_select::LabelSelector;
use tokio::sync::mpsc;

use crate::storage::key_of;
use crate::{Config, DEFAULT_SCHEDULER};

/// Updates that may wait for the loop; more make the watches wait.
pub(crate) const UPDATES_MAX: usize = 1024;
/// Pods that are over take no room: their watch events say that they are gone.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// What the loop learns from the watches.
#[derive(Debug)]
pub(crate) enum Update {
    Nodes(Listed<Box<Node>, String>),
    Pods(Listed<SeenPod, Uid>),
    Namespaces(Listed<(String, BTreeMap<String, String>), String>),
    /// By namespace and name.
    Budgets(Listed<((String, String), Budget), (String, String)>),
    Storage(StorageUpdate),
}

/// What the loop learns of volumes.
#[derive(Debug)]
pub(crate) enum StorageUpdate {
    /// By `namespace/name`.
    Claims(Listed<Box<PersistentVolumeClaim>, String>),
    Volumes(Listed<Box<PersistentVolume>, String>),
    Classes(Listed<Box<StorageClass>, String>),
    Limits(Listed<Box<CSINode>, String>),
}

/// A change, or everything there is.
#[derive(Debug)]
pub(crate) enum Listed<T, K> {
    All(Vec<T>),
    Applied(T),
    Gone(K),
}

/// What placement needs to know of a pod.
#[derive(Clone, Debug)]
pub(crate) struct SeenPod {
    pub(crate) uid: Uid,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: Option<String>,
    pub(crate) demand: Demand,
    pub(crate) priority: i32,
    /// `preemptionPolicy: Never`.
    pub(crate) never_preempts: bool,
    /// `status.startTime` in seconds since 1970.
    pub(crate) started: Option<i64>,
    /// Being deleted for the sake of a pod of higher priority.
    pub(crate) is_giving_way: bool,
    /// `status.nominatedNodeName`.
    pub(crate) nominated: Option<String>,
    /// The profile that is to place it, if it is ours to place: a scheduler's name of ours, no gates, not being deleted.
    pub(crate) profile: Option<usize>,
    /// Since when its status has said that it fits nowhere, and why.
    pub(crate) unschedulable: Option<(Option<Time>, String)>,
}

/// Starts the watches.
pub(crate) fn start(config: &Config, client: &Client, scope: &Scope, updates: &mpsc::Sender<Update>) {
    let nodes = follow(
        Api::<Node>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        |node| Some(Box::new(node)),
        |node| node.metadata.name.clone(),
        Update::Nodes,
    );
    let mut demands = Demands::default();
    let scheduler_names: Vec<String> = config.profiles.iter().map(|profile| profile.scheduler_name.clone()).collect();
    let pods = follow(
        Api::<Pod>::all(client.clone()),
        watcher::Config::default().fields(LIVING),
        updates.clone(),
        move |pod| see(&pod, &scheduler_names, &mut demands),
        |pod| pod.metadata.uid.as_deref().map(|uid| Uid(uid.into())),
        Update::Pods,
    );
    let namespaces = follow(
        Api::<Namespace>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        |namespace| Some((namespace.metadata.name?, namespace.metadata.labels.unwrap_or_default())),
        |namespace| namespace.metadata.name.clone(),
        Update::Namespaces,
    );
    let budgets = follow(
        Api::<PodDisruptionBudget>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        |budget| Some((full_name(&budget)?, see_budget(&budget)?)),
        full_name,
        Update::Budgets,
    );
    let claims = follow(
        Api::<PersistentVolumeClaim>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        bare,
        |claim| Some(key_of(claim)),
        |claims| Update::Storage(StorageUpdate::Claims(claims)),
    );
    let volumes = follow(
        Api::<PersistentVolume>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        bare,
        |volume| volume.metadata.name.clone(),
        |volumes| Update::Storage(StorageUpdate::Volumes(volumes)),
    );
    let classes = follow(
        Api::<StorageClass>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        bare,
        |class| class.metadata.name.clone(),
        |classes| Update::Storage(StorageUpdate::Classes(classes)),
    );
    let limits = follow(
        Api::<CSINode>::all(client.clone()),
        watcher::Config::default(),
        updates.clone(),
        bare,
        |drivers| drivers.metadata.name.clone(),
        |limits| Update::Storage(StorageUpdate::Limits(limits)),
    );
    let watches: [(&str, BoxFuture<'static, ()>); 8] = [
        ("watch nodes", nodes.boxed()),
        ("watch pods", pods.boxed()),
        ("watch namespaces", namespaces.boxed()),
        ("watch disruption budgets", budgets.boxed()),
        ("watch claims", claims.boxed()),
        ("watch volumes", volumes.boxed()),
        ("watch storage classes", classes.boxed()),
        ("watch volume limits", limits.boxed()),
    ];
    for (name, watching) in watches {
        let ending = scope.clone();
        scope.spawn(name, async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = watching => {}
            }
        });
    }
}

/// The object without the record of who wrote it.
fn bare<K: Resource<DynamicType = ()>>(mut object: K) -> Option<Box<K>> {
    object.meta_mut().managed_fields = None;
    Some(Box::new(object))
}

fn full_name(budget: &PodDisruptionBudget) -> Option<(String, String)> {
    Some((budget.metadata.namespace.clone()?, budget.metadata.name.clone()?))
}

fn see_budget(budget: &PodDisruptionBudget) -> Option<Budget> {
    let (spec, status) = (budget.spec.as_ref(), budget.status.as_ref());
    let selector = spec.and_then(|spec| spec.selector.as_ref()).map(LabelSelector::try_from);
    let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
    Some(Budget {
        namespace: budget.metadata.namespace.clone()?,
        selector: selector.and_then(Result::ok).unwrap_or_else(LabelSelector::nothing),
        allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or_default().into(),
        disrupted: disrupted.into_iter().flat_map(BTreeMap::keys).cloned().collect(),
    })
}

/// Watches until nobody listens. `see` boils an object down; what it gives nothing for is as good as gone.
async fn follow<K, T, Id>(
    api: Api<K>,
    config: watcher::Config,
    updates: mpsc::Sender<Update>,
    mut see: impl FnMut(K) -> Option<T>,
    identify: impl Fn(&K) -> Option<Id>,
    wrap: impl Fn(Listed<T, Id>) -> Update,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listing = Vec::new();
    while let Some(event) = events.next().await {
        let update = match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listing.extend(see(object));
                None
            }
            Ok(watcher::Event::InitDone) => Some(Listed::All(std::mem::take(&mut listing))),
            Ok(watcher::Event::Apply(object)) => {
                let id = identify(&object);
                see(object).map(Listed::Applied).or_else(|| id.map(Listed::Gone))
            }
            Ok(watcher::Event::Delete(object)) => identify(&object).map(Listed::Gone),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(resource = %K::plural(&()), error, "watch failed; trying again");
                None
            }
        };
        if let Some(update) = update
            && updates.send(wrap(update)).await.is_err()
        {
            return;
        }
    }
}

fn gives_way(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| {
        condition.type_ == "DisruptionTarget"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("PreemptionByScheduler")
    })
}

fn see(pod: &Pod, scheduler_names: &[String], demands: &mut Demands) -> Option<SeenPod> {
    let (metadata, spec, status) = (&pod.metadata, pod.spec.as_ref()?, pod.status.as_ref());
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let scheduler = spec.scheduler_name.as_deref().unwrap_or(DEFAULT_SCHEDULER);
    let profile = scheduler_names.iter().position(|name| name == scheduler);
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let unschedulable = conditions
        .into_iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| (condition.last_transition_time.clone(), condition.message.clone().unwrap_or_default()));
    Some(SeenPod {
        uid: Uid(metadata.uid.as_deref()?.into()),
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
        node: spec.node_name.clone().filter(|node| !node.is_empty()),
        demand: demands.of(pod),
        priority: spec.priority.unwrap_or_default(),
        never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
        started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0.as_second()),
        is_giving_way: metadata.deletion_timestamp.is_some() && gives_way(pod),
        nominated: status.and_then(|status| status.nominated_node_name.clone()).filter(|node| !node.is_empty()),
        profile: profile.filter(|_| !gated && metadata.deletion_timestamp.is_none()),
        unschedulable,
    })
}
