//! The pods of simulated nodes: started after a while, ended when their time has come or when they are told to.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use minato_client::{Backoff, Change, Informer, Next, ObjectKey, Queue};
use minato_scope::Scope;
use parking_lot::Mutex;

use crate::Progress;
use crate::config::Config;
use crate::nodes::time;
use crate::status::{self, Life};

/// Pods that are removed at the end are looked for in pages.
const PAGE: u32 = 500;

#[derive(Clone)]
pub(crate) struct Pods {
    config: Arc<Config>,
    client: Client,
    progress: Arc<Progress>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    addresses: Arc<Mutex<Addresses>>,
    queue: Queue<ObjectKey>,
}

/// Which addresses of its range a node has given to pods.
#[derive(Default)]
struct Addresses {
    used: HashMap<String, HashSet<u32>>,
    of_pod: HashMap<String, (String, u32)>,
}

/// The first that pods get; those before it are the network's and the node's own.
const FIRST_ADDRESS: u32 = 2;

impl Addresses {
    /// The address of a pod, the same whenever it is asked for; nothing while the node has no range, or none is left.
    fn of(&mut self, uid: &str, node: &str, range: &str) -> Option<Ipv4Addr> {
        let (network, bits) = range.split_once('/')?;
        let network = network.parse::<Ipv4Addr>().ok()?.to_bits();
        let size = 1_u32.checked_shl(32_u32.checked_sub(bits.parse().ok()?)?)?;
        if let Some((_, offset)) = self.of_pod.get(uid) {
            return Some(Ipv4Addr::from_bits(network + offset));
        }
        let used = self.used.entry(node.to_owned()).or_default();
        let offset = (FIRST_ADDRESS..size.saturating_sub(1)).find(|offset| !used.contains(offset))?;
        used.insert(offset);
        self.of_pod.insert(uid.to_owned(), (node.to_owned(), offset));
        Some(Ipv4Addr::from_bits(network + offset))
    }

    fn free(&mut self, uid: &str) {
        if let Some((node, offset)) = self.of_pod.remove(uid)
            && let Some(used) = self.used.get_mut(&node)
        {
            used.remove(&offset);
        }
    }
}

/// What becomes of a pod next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing that time alone brings.
    Rest,
    /// Look again after this time.
    Wait(Duration),
    /// It begins to run, or ends by itself.
    Live(Life),
    /// It is gone.
    Vanish,
}

/// Half to one and a half times `delay`, by the pod.
fn varied(delay: Duration, uid: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    delay.mul_f64(0.5 + (hasher.finish() % 1000) as f64 / 1000.0)
}

/// What to do with a pod of ours that was first seen at `seen`.
fn fate(config: &Config, pod: &Pod, seen: Timestamp, now: Timestamp) -> Fate {
    let after = |since: Timestamp, delay: Duration, then: Fate| {
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
        if passed >= delay { then } else { Fate::Wait(delay - passed) }
    };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    if let Some(told) = &pod.metadata.deletion_timestamp {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let begun = told.0.checked_sub(jiff::SignedDuration::from_secs(grace)).unwrap_or(told.0);
        return after(begun, config.stop_delay, Fate::Vanish);
    }
    match phase {
        "Succeeded" | "Failed" => Fate::Rest,
        "Running" => {
            let for_ever = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.restart_policy.as_deref())
                .is_none_or(|policy| policy == "Always");
            let started = time(status.and_then(|status| status.start_time.as_ref())).unwrap_or(seen);
            if for_ever { Fate::Rest } else { after(started, config.job_duration, Fate::Live(Life::Succeeded)) }
        }
        _ => after(seen, varied(config.start_delay, uid), Fate::Live(Life::Running)),
    }
}

/// When the pod was bound.
fn bound_at(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let scheduled =
        conditions.into_iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    time(scheduled?.last_transition_time.as_ref())
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Keeps what a status is made of; there may be hundreds of thousands.
fn trim(pod: &mut Pod) {
    pod.metadata.annotations = None;
    pod.metadata.labels = None;
    pod.metadata.owner_references = None;
    if let Some(status) = &mut pod.status {
        status.container_statuses = None;
        status.init_container_statuses = None;
    }
    if let Some(spec) = &mut pod.spec {
        let whole = std::mem::take(spec);
        let slim = |containers: Vec<k8s_openapi::api::core::v1::Container>| {
            containers.into_iter().map(|one| k8s_openapi::api::core::v1::Container {
                name: one.name,
                image: one.image,
                restart_policy: one.restart_policy,
                ..Default::default()
            })
        };
        spec.containers = slim(whole.containers).collect();
        spec.init_containers = whole.init_containers.map(|containers| slim(containers).collect());
        spec.node_name = whole.node_name;
        spec.restart_policy = whole.restart_policy;
        spec.host_network = whole.host_network;
    }
}

impl Pods {
    pub(crate) fn new(config: Arc<Config>, client: Client, progress: Arc<Progress>, scope: &Scope) -> Self {
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        let ours = watcher::Config::default().labels(&format!("{}=true", status::LABEL));
        Self {
            pods: Informer::start(scope, Api::all(client.clone()), bound, trim),
            nodes: Informer::start(scope, Api::all(client.clone()), ours, |node: &mut Node| node.status = None),
            addresses: Arc::default(),
            queue: Queue::new("pods", Backoff::default()),
            config,
            client,
            progress,
        }
    }

    pub(crate) fn start(self, scope: &Scope) {
        let working = scope.clone();
        scope.spawn("pods", async move {
            tokio::select! {
                () = working.cancelled() => return,
                () = async { tokio::join!(self.pods.synced(), self.nodes.synced()); } => {}
            }
            let controller = self.clone();
            self.pods.on_change(move |change| controller.seen(change));
            let workers = self.config.concurrency.max(1);
            self.queue.clone().work(&working, workers, move |key| {
                let controller = self.clone();
                async move { controller.live(&key).await }
            });
        });
    }

    fn seen(&self, change: &Change<Pod>) {
        let ours = |pod: &&Arc<Pod>| self.config.number_of(node_of(pod)).is_some();
        let runs = |pod: &Option<Arc<Pod>>| pod.as_ref().filter(ours).is_some_and(|pod| is_running(pod));
        match (runs(&change.before), runs(&change.after)) {
            (false, true) => {
                self.progress.running.fetch_add(1, Ordering::Relaxed);
                self.progress.started.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                self.progress.running.fetch_sub(1, Ordering::Relaxed);
                self.progress.ended.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        match &change.after {
            Some(pod) if ours(&pod) => self.queue.add(ObjectKey::of(&pod.metadata)),
            Some(_) => {}
            None => {
                let uid = change.before.as_ref().and_then(|pod| pod.metadata.uid.as_deref());
                uid.into_iter().for_each(|uid| self.addresses.lock().free(uid));
            }
        }
    }

    async fn live(&self, key: &ObjectKey) -> Result<Next, kube::Error> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::Done) };
        let Some(host) = self.config.number_of(node_of(&pod)) else { return Ok(Next::Done) };
        let now = Timestamp::now();
        let seen = bound_at(&pod).or_else(|| time(pod.metadata.creation_timestamp.as_ref())).unwrap_or(now);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let outcome = match fate(&self.config, &pod, seen, now) {
            Fate::Rest => return Ok(Next::Done),
            Fate::Wait(delay) => return Ok(Next::After(delay)),
            Fate::Vanish => {
                let preconditions = Some(Preconditions { uid: Some(uid), resource_version: None });
                let at_once = DeleteParams { preconditions, ..DeleteParams::default().grace_period(0) };
                api.delete(&key.name, &at_once).await.map(drop)
            }
            Fate::Live(life) => {
                let range = self.nodes.get(&ObjectKey::new("", node_of(&pod)));
                let range = range.and_then(|node| node.spec.as_ref()?.pod_cidr.clone()).unwrap_or_default();
                let ip = self.addresses.lock().of(&uid, node_of(&pod), &range);
                let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
                let patch = Patch::Strategic(status::pod(&pod, life, &ip, host, now));
                api.patch_status(&key.name, &PatchParams::default(), &patch).await.map(|mut written| {
                    trim(&mut written);
                    self.pods.observe(written);
                })
            }
        };
        match outcome {
            // Gone, or another pod of that name: the watch tells.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Next::Done),
            Err(error) => Err(error),
            Ok(()) if is_running(&pod) => Ok(Next::Done),
            // Pods of Jobs have an end to wait for.
            Ok(()) => Ok(Next::After(self.config.job_duration)),
        }
    }
}

/// Removes the pods of the nodes at once; what cannot be removed is left to the pod garbage collector.
pub(crate) async fn remove(config: &Config, client: &Client) {
    let api: Api<Pod> = Api::all(client.clone());
    let mut page = ListParams::default().fields("spec.nodeName!=").limit(PAGE);
    loop {
        let list = match api.list(&page).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to list the pods of simulated nodes");
                return;
            }
        };
        let next = list.metadata.continue_.clone().filter(|next| !next.is_empty());
        let ours = list.items.into_iter().filter(|pod| config.number_of(node_of(pod)).is_some());
        let gone = futures::stream::iter(ours).map(|pod| async move {
            let metadata = &pod.metadata;
            let api: Api<Pod> = Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
            let name = metadata.name.as_deref().unwrap_or_default();
            // Whoever was faster did the same.
            let _ = api.delete(name, &DeleteParams::default().grace_period(0)).await;
        });
        gone.buffer_unordered(config.concurrency.max(1)).collect::<()>().await;
        match next {
            Some(next) => page = page.continue_token(&next),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn addresses_are_given_once() {
        let mut addresses = Addresses::default();
        let mut of = |uid: &str| addresses.of(uid, "n", "10.42.7.0/29").map(|ip| ip.to_string());
        assert_eq!(of("a").as_deref(), Some("10.42.7.2"));
        assert_eq!(of("b").as_deref(), Some("10.42.7.3"));
        assert_eq!(of("a").as_deref(), Some("10.42.7.2"));
        for uid in ["c", "d", "e"] {
            assert!(of(uid).is_some());
        }
        assert_eq!(of("f"), None);
        addresses.free("b");
        assert_eq!(addresses.of("f", "n", "10.42.7.0/29").map(|ip| ip.to_string()).as_deref(), Some("10.42.7.3"));
        assert_eq!(addresses.of("g", "n", ""), None);
    }

    #[test]
    fn fates() {
        let config = Config { start_delay: Duration::ZERO, ..Config::default() };
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let check = |pod: Value, now: i64, expected: Fate| {
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(fate(&config, &pod, at(0), at(now)), expected, "{pod:?}");
        };
        let job = |phase: &str| {
            json!({"metadata": {"uid": "u"}, "spec": {"containers": [], "restartPolicy": "Never"},
            "status": {"phase": phase, "startTime": "1970-01-01T00:00:10Z"}})
        };
        check(job("Pending"), 1, Fate::Live(Life::Running));
        check(job("Running"), 12, Fate::Wait(Duration::from_secs(3)));
        check(job("Running"), 15, Fate::Live(Life::Succeeded));
        check(job("Succeeded"), 99, Fate::Rest);
        check(
            json!({"status": {"phase": "Running"}, "spec": {"containers": [], "restartPolicy": "Always"}}),
            99,
            Fate::Rest,
        );
        let told = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:40Z", "deletionGracePeriodSeconds": 30},
            "status": {"phase": "Running"}});
        check(told.clone(), 10, Fate::Wait(Duration::from_millis(200)));
        check(told, 11, Fate::Vanish);
        let uids = ["a", "b", "c", "d"].map(|uid| varied(Duration::from_secs(2), uid));
        assert!(uids.iter().all(|delay| (1000..3000).contains(&delay.as_millis())));
    }
}
