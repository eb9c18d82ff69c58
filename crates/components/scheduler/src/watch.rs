//! What the API says of pods and nodes, boiled down to what placement needs.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use minato_placement::{Demand, Uid};
use minato_scope::Scope;
use tokio::sync::mpsc;

use crate::Config;

/// Updates that may wait for the loop; more make the watches wait.
pub(crate) const UPDATES_MAX: usize = 1024;
/// Pods that are over take no room: their watch events say that they are gone.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Demands are interned; unused ones are swept when their number has doubled, but not below this.
const DEMANDS_MIN: usize = 1024;

/// What the loop learns from the watches.
#[derive(Debug)]
pub(crate) enum Update {
    Nodes(Listed<Box<Node>, String>),
    Pods(Listed<SeenPod, Uid>),
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
    pub(crate) demand: Arc<Demand>,
    pub(crate) priority: i32,
    /// Ours to place: our scheduler's name, no gates, not being deleted.
    pub(crate) is_ours: bool,
    /// Since when its status has said that it fits nowhere, and why.
    pub(crate) unschedulable: Option<(Option<Time>, String)>,
}

/// Starts both watches.
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
    let scheduler_name = config.scheduler_name.clone();
    let pods = follow(
        Api::<Pod>::all(client.clone()),
        watcher::Config::default().fields(LIVING),
        updates.clone(),
        move |pod| see(&pod, &scheduler_name, &mut demands),
        |pod| pod.metadata.uid.as_deref().map(|uid| Uid(uid.into())),
        Update::Pods,
    );
    for (name, watching) in
        [("watch nodes", futures::future::Either::Left(nodes)), ("watch pods", futures::future::Either::Right(pods))]
    {
        let ending = scope.clone();
        scope.spawn(name, async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = watching => {}
            }
        });
    }
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

fn see(pod: &Pod, scheduler_name: &str, demands: &mut Demands) -> Option<SeenPod> {
    let (metadata, spec, status) = (&pod.metadata, pod.spec.as_ref()?, pod.status.as_ref());
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let ours = spec.scheduler_name.as_deref().unwrap_or("default-scheduler") == scheduler_name;
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
        demand: demands.intern(Demand::of(pod).unbound()),
        priority: spec.priority.unwrap_or_default(),
        is_ours: ours && !gated && metadata.deletion_timestamp.is_none(),
        unschedulable,
    })
}

/// Equal demands share their memory.
#[derive(Default)]
struct Demands {
    known: HashSet<Arc<Demand>>,
    swept: usize,
}

impl Demands {
    fn intern(&mut self, demand: Demand) -> Arc<Demand> {
        if let Some(known) = self.known.get(&demand) {
            return Arc::clone(known);
        }
        if self.known.len() > 2 * self.swept.max(DEMANDS_MIN) {
            self.known.retain(|demand| Arc::strong_count(demand) > 1);
            self.swept = self.known.len();
        }
        let demand = Arc::new(demand);
        self.known.insert(Arc::clone(&demand));
        demand
    }
}
