//! The loop: learn, decide, assume, carry out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use minato_client::{EventKind, Recorder};
use minato_placement::{
    Ask, Budget, Change, Cluster, NoPreemption, Pod, Preemption, Queue, Queued, Uid, Unschedulable, Victim,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bind::{PodName, RequestError, Verdict, bind, denominate, evict, tell};
use crate::extender::{ExtenderError, Extenders, Opinion};
use crate::storage::{AwaitingPods, Claimed};
use crate::watch::{Listed, SeenPod, UPDATES_MAX, Update};
use crate::{Config, DEFAULT_SCHEDULER};

/// Decisions between two looks at the updates.
const DECISIONS_MAX: usize = 256;

/// Everything the scheduler knows.
pub(crate) struct Placing {
    pub(crate) config: Config,
    pub(crate) client: Client,
    /// One for each profile.
    recorders: Vec<Recorder>,
    started: Instant,
    pub(crate) cluster: Cluster,
    pub(crate) extenders: Extenders,
    /// The nodes in full, if an extender wants them so.
    pub(crate) nodes: HashMap<String, Arc<Node>>,
    queue: Queue,
    /// The pods that have no node yet.
    pending: HashMap<Uid, Pending>,
    /// Pods on the node that we chose, as long as the watch has not shown them there.
    pub(crate) assumed: HashSet<Uid>,
    /// Those of them whose claims are being bound.
    pub(crate) awaiting: AwaitingPods,
    /// By namespace and name: those that come first are asked first.
    budgets: BTreeMap<(String, String), Budget>,
    pub(crate) listed: Seen,
    pub(crate) tasks: JoinSet<Done>,
}

/// What has been listed: before that nothing is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    nodes: bool,
    pods: bool,
    namespaces: bool,
    budgets: bool,
    pub(crate) claims: bool,
    pub(crate) volumes: bool,
    pub(crate) classes: bool,
    pub(crate) limits: bool,
}

impl Seen {
    fn all(self) -> bool {
        let storage = self.claims && self.volumes && self.classes && self.limits;
        storage && self.nodes && self.pods && self.namespaces && self.budgets
    }
}

struct Pending {
    pod: PodName,
    started: Option<i64>,
    never_preempts: bool,
    /// Since when the pod's status has said that it fits nowhere, and why.
    told: Option<(Time, String)>,
}

/// What became of a request.
pub(crate) enum Done {
    Consulted {
        queued: Queued,
        result: Result<Opinion, ExtenderError>,
    },
    Claimed {
        pod: PodName,
        node: Arc<str>,
        claims: Vec<String>,
        selected: Vec<String>,
        result: Result<Claimed, RequestError>,
    },
    Bound {
        pod: PodName,
        node: Arc<str>,
        result: Result<(), RequestError>,
    },
    Told {
        pod: PodName,
        result: Result<(), RequestError>,
    },
    Evicted {
        pod: PodName,
        by: Uid,
        node: Arc<str>,
        result: Result<(), RequestError>,
    },
}

impl Placing {
    pub(crate) fn new(config: Config, client: Client, recorders: Vec<Recorder>, extenders: Extenders) -> Self {
        let profiles = config.profiles.iter().map(|profile| profile.placement.clone()).collect();
        let queue = Queue::new(config.backoff_first, config.backoff_max);
        Self {
            config,
            client,
            recorders,
            started: Instant::now(),
            cluster: Cluster::new(profiles),
            extenders,
            nodes: HashMap::new(),
            queue,
            pending: HashMap::new(),
            assumed: HashSet::new(),
            awaiting: AwaitingPods::new(),
            budgets: BTreeMap::new(),
            listed: Seen::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Places pods until the watches end.
    pub(crate) async fn run(&mut self, mut updates: mpsc::Receiver<Update>) {
        let mut batch = Vec::new();
        loop {
            while let Some(done) = self.tasks.try_join_next() {
                self.finish(done.ok());
            }
            self.expire_awaiting();
            let more = self.decide();
            let wake = self.queue.next_wake().map(|wake| self.started + wake);
            let wake = [wake, self.awaiting_deadline()].into_iter().flatten().min();
            tokio::select! {
                biased;
                count = updates.recv_many(&mut batch, UPDATES_MAX) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|update| self.learn(update));
                }
                Some(done) = self.tasks.join_next() => self.finish(done.ok()),
                () = std::future::ready(()), if more => {}
                () = wait_until(wake) => {}
            }
        }
    }

    pub(crate) fn pod_name(&self, uid: &Uid) -> Option<PodName> {
        self.pending.get(uid).map(|pending| pending.pod.clone())
    }

    pub(crate) fn drop_queued(&mut self, uid: &Uid) {
        self.queue.remove(uid);
    }

    pub(crate) fn retry_queued(&mut self, uid: &Uid) {
        self.queue.retry(uid);
    }

    /// Tells of a pod in its scheduler's name.
    pub(crate) fn record(&self, pod: &PodName, kind: EventKind, reason: &str, message: String) {
        if let Some(recorder) = self.recorders.get(pod.profile) {
            recorder.record(&pod.reference(), kind, reason, message);
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Decides about pods while there are some and bindings may be started. True if there may be more to decide.
    fn decide(&mut self) -> bool {
        if !self.listed.all() {
            return false;
        }
        for _ in 0..DECISIONS_MAX {
            if self.tasks.len() >= self.config.bindings_max {
                return false;
            }
            let now = self.now();
            let Some(queued) = self.queue.pop(now) else { return false };
            if self.extenders.concern(&queued.demand) {
                self.ask_extenders(queued);
                continue;
            }
            match self.cluster.place(&ask(&queued)) {
                Ok(node) => self.assume(queued, node),
                Err(reason) => self.put_off(&queued, reason),
            }
        }
        true
    }

    pub(crate) fn assume(&mut self, queued: Queued, node: Arc<str>) {
        let Queued { uid, demand, priority, .. } = queued;
        let Some(pending) = self.pending.get(&uid) else { return self.queue.remove(&uid) };
        let name = pending.pod.name.as_str().into();
        let placed = Pod { name, demand, priority, started: pending.started, is_giving_way: false };
        let (pod, known) = (pending.pod.clone(), placed.demand.clone());
        let claiming = self.cluster.claim_volumes(&uid, &known, &node);
        self.cluster.put(&uid, placed, &node);
        self.assumed.insert(uid);
        self.helped(&Change::PodCame(&known));
        match claiming.claims.is_empty() {
            true => self.bind(pod, node),
            false => self.claim_for(pod, node, claiming),
        }
    }

    pub(crate) fn bind(&mut self, pod: PodName, node: Arc<str>) {
        let client = self.client.clone();
        let demand = self.cluster.pod(&pod.uid).map(|placed| placed.demand.clone());
        let Some(demand) = demand.filter(|demand| self.extenders.binds(demand)) else {
            self.tasks.spawn(async move {
                let result = bind(client, &pod, &node).await;
                Done::Bound { pod, node, result }
            });
            return;
        };
        let extenders = self.extenders.clone();
        self.tasks.spawn(async move {
            let result = match extenders.bind(&demand, &pod, &node).await {
                Some(result) => result.map_err(RequestError::from),
                None => bind(client, &pod, &node).await,
            };
            Done::Bound { pod, node, result }
        });
    }

    /// The pod fits nowhere: others may give way, otherwise it waits.
    pub(crate) fn put_off(&mut self, queued: &Queued, reason: Unschedulable) {
        let ask = ask(queued);
        let Some(pending) = self.pending.get(&queued.uid) else { return self.queue.remove(&queued.uid) };
        let (told, nominated) = match self.cluster.preempt(&ask, pending.never_preempts, self.budgets.values()) {
            Ok(preemption) => {
                self.cluster.nominate(&ask, &preemption.node);
                let node = preemption.node.to_string();
                self.evict(preemption, &queued.uid, queued.profile);
                (reason.clone(), Some(node))
            }
            Err(NoPreemption::Disabled) => (reason.clone(), None),
            Err(outcome @ NoPreemption::UnderWay) => (reason.clone().with_preemption(&outcome), None),
            Err(outcome) => {
                let kept = self.cluster.denominate(&queued.uid);
                (reason.clone().with_preemption(&outcome), kept.map(|_| String::new()))
            }
        };
        self.queue.wait(&queued.uid, &reason, self.now());
        self.say(&queued.uid, told.to_string(), nominated);
    }

    /// Tells by status and event why a pod fits nowhere, unless that is known.
    fn say(&mut self, uid: &Uid, message: String, nominated: Option<String>) {
        let Some(pending) = self.pending.get_mut(uid) else { return };
        let since = match &pending.told {
            Some((_, told)) if *told == message && nominated.is_none() => return,
            Some((since, _)) => since.clone(),
            None => Time(Timestamp::now()),
        };
        pending.told = Some((since.clone(), message.clone()));
        let pod = pending.pod.clone();
        self.record(&pod, EventKind::Warning, "FailedScheduling", message.clone());
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let result = tell(client, &pod, &Verdict { message, since, nominated }).await;
            Done::Told { pod, result }
        });
    }

    /// Lets the victims go, and keeps no place for those whose place is taken.
    fn evict(&mut self, preemption: Preemption, by: &Uid, profile: usize) {
        let Preemption { node, victims, denominated } = preemption;
        let scheduler =
            self.config.profiles.get(profile).map_or(DEFAULT_SCHEDULER, |one| &one.scheduler_name).to_owned();
        for uid in denominated {
            self.cluster.denominate(&uid);
            let Some(pending) = self.pending.get(&uid) else { continue };
            let (client, pod) = (self.client.clone(), pending.pod.clone());
            self.tasks.spawn(async move {
                let result = denominate(client, &pod).await;
                Done::Told { pod, result }
            });
        }
        for victim in victims.into_iter().filter(|victim| !victim.is_giving_way) {
            let Victim { uid, namespace, name, .. } = victim;
            let pod = PodName { uid, namespace, name: name.to_string(), profile };
            let (client, scheduler, by) = (self.client.clone(), scheduler.clone(), by.clone());
            let (node, now) = (Arc::clone(&node), Time(Timestamp::now()));
            self.tasks.spawn(async move {
                let result = evict(client, &pod, &scheduler, &now).await;
                Done::Evicted { pod, by, node, result }
            });
        }
    }

    /// Takes note of a request's end.
    fn finish(&mut self, done: Option<Done>) {
        match done {
            None => tracing::error!("a request of the scheduler panicked"),
            Some(Done::Consulted { queued, result, .. }) => self.follow_opinion(queued, result),
            Some(Done::Claimed { pod, node, claims, selected, result: Ok(written) }) => {
                self.await_claims(pod, node, claims, selected, written);
            }
            Some(Done::Claimed { pod, node, result: Err(error), .. }) => self.unassume(&pod, &node, &error),
            Some(Done::Bound { pod, node, result: Ok(()) }) => {
                self.cluster.volumes_mut().forget_assumed(&pod.uid);
                self.queue.remove(&pod.uid);
                self.pending.remove(&pod.uid);
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.record(&pod, EventKind::Normal, "Scheduled", message);
            }
            Some(Done::Bound { pod, node, result: Err(error) }) => self.unassume(&pod, &node, &error),
            Some(Done::Told { result: Ok(()), .. }) => {}
            Some(Done::Told { pod, result: Err(error) }) => {
                let (namespace, name) = (&pod.namespace, &pod.name);
                tracing::debug!(namespace, pod = name, error = &error as &dyn std::error::Error, "status not written");
                if let Some(pending) = self.pending.get_mut(&pod.uid) {
                    pending.told = None; // the next attempt says it again
                }
            }
            Some(Done::Evicted { pod, by, node, result: Ok(()) }) => {
                let message = format!("Preempted by pod {} on node {node}", by.0);
                self.record(&pod, EventKind::Normal, "Preempted", message);
            }
            Some(Done::Evicted { result: Err(error), .. }) if error.is_not_found() => {}
            Some(Done::Evicted { pod, by, node, result: Err(error) }) => {
                let (namespace, name) = (&pod.namespace, &pod.name);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(namespace, pod = name, %node, error, "a pod that should give way could not be deleted");
                self.cluster.denominate(&by);
                self.helped(&Change::Node(&node));
            }
        }
    }

    /// A binding failed: unless the watch has shown the pod on its node meanwhile, it is free again.
    pub(crate) fn unassume(&mut self, pod: &PodName, node: &str, error: &RequestError) {
        self.cluster.volumes_mut().forget_assumed(&pod.uid);
        if !self.assumed.remove(&pod.uid) {
            return;
        }
        let (namespace, name) = (&pod.namespace, &pod.name);
        tracing::warn!(namespace, pod = name, node, error = error as &dyn std::error::Error, "binding failed");
        let taken = self.cluster.take(&pod.uid);
        if error.is_not_found() {
            self.queue.remove(&pod.uid);
            self.pending.remove(&pod.uid);
        } else {
            self.queue.retry(&pod.uid);
        }
        if let Some((placed, _)) = taken {
            self.helped(&Change::PodWent(&placed.demand, node));
        }
    }

    fn learn(&mut self, update: Update) {
        match update {
            Update::Nodes(Listed::Applied(node)) => self.learn_node(&node),
            Update::Nodes(Listed::Gone(name)) => self.forget_node(&name),
            Update::Nodes(Listed::All(nodes)) => {
                let listed: HashSet<&str> = nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
                let gone = self.cluster.node_names().filter(|name| !listed.contains(name));
                let gone: Vec<String> = gone.map(str::to_owned).collect();
                gone.iter().for_each(|name| self.forget_node(name));
                nodes.iter().for_each(|node| self.learn_node(node));
                self.listed.nodes = true;
            }
            Update::Pods(Listed::Applied(pod)) => self.learn_pod(pod),
            Update::Pods(Listed::Gone(uid)) => self.forget_pod(&uid),
            Update::Pods(Listed::All(pods)) => {
                let listed: HashSet<&Uid> = pods.iter().map(|pod| &pod.uid).collect();
                let known = self.cluster.placed().chain(self.queue.uids());
                let gone: HashSet<Uid> = known.filter(|uid| !listed.contains(uid)).cloned().collect();
                gone.iter().for_each(|uid| self.forget_pod(uid));
                pods.into_iter().for_each(|pod| self.learn_pod(pod));
                self.listed.pods = true;
            }
            Update::Namespaces(Listed::Applied((name, labels))) => self.learn_namespace(&name, Some(labels)),
            Update::Namespaces(Listed::Gone(name)) => self.learn_namespace(&name, None),
            Update::Namespaces(Listed::All(namespaces)) => {
                let listed: HashSet<&str> = namespaces.iter().map(|(name, _)| name.as_str()).collect();
                let gone = self.cluster.namespace_names().filter(|name| !listed.contains(name));
                let gone: Vec<String> = gone.map(str::to_owned).collect();
                gone.iter().for_each(|name| self.learn_namespace(name, None));
                namespaces.into_iter().for_each(|(name, labels)| self.learn_namespace(&name, Some(labels)));
                self.listed.namespaces = true;
            }
            Update::Budgets(Listed::Applied((name, budget))) => drop(self.budgets.insert(name, budget)),
            Update::Budgets(Listed::Gone(name)) => drop(self.budgets.remove(&name)),
            Update::Budgets(Listed::All(budgets)) => {
                self.budgets = budgets.into_iter().collect();
                self.listed.budgets = true;
            }
            Update::Storage(update) => self.learn_storage(update),
        }
    }

    fn learn_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) {
        if self.cluster.set_namespace(name, labels) {
            self.helped(&Change::Namespaces);
        }
    }

    fn learn_node(&mut self, node: &Node) {
        if self.extenders.need_nodes()
            && let Some(name) = &node.metadata.name
        {
            self.nodes.insert(name.clone(), Arc::new(node.clone()));
        }
        if self.cluster.set_node(node)
            && let Some(name) = &node.metadata.name
        {
            self.helped(&Change::Node(name));
        }
    }

    fn forget_node(&mut self, name: &str) {
        self.nodes.remove(name);
        self.cluster.remove_node(name);
        self.helped(&Change::Node(name)); // the places of spread constraints are fewer
    }

    fn learn_pod(&mut self, seen: SeenPod) {
        let SeenPod { uid, namespace, name, node, demand, priority, started, .. } = seen;
        if let Some(node) = node {
            self.assumed.remove(&uid);
            self.queue.remove(&uid);
            self.pending.remove(&uid);
            let was_on = self.cluster.node_of(&uid).map(str::to_owned);
            let (known, is_giving_way) = (demand.clone(), seen.is_giving_way);
            let placed = Pod { name: name.into(), demand, priority, started, is_giving_way };
            if self.cluster.put(&uid, placed, &node) {
                if let Some(was_on) = was_on {
                    self.helped(&Change::PodWent(&known, &was_on)); // it went elsewhere, or demands less
                }
                self.helped(&Change::PodCame(&known));
            }
        } else if self.assumed.contains(&uid) {
            // An older state than the one that our binding makes.
        } else if let Some(profile) = seen.profile {
            let told = seen.unschedulable.map(|(since, message)| (since.unwrap_or(Time(Timestamp::now())), message));
            let pod = PodName { uid: uid.clone(), namespace, name, profile };
            let never_preempts = seen.never_preempts;
            if !self.pending.contains_key(&uid) {
                // What another life of ours has kept is kept again.
                if let Some(node) = &seen.nominated {
                    self.cluster.nominate(&Ask { uid: &uid, demand: &demand, priority, profile }, node);
                }
                self.pending.insert(uid.clone(), Pending { pod, started, never_preempts, told });
            }
            self.queue.add(Queued { uid, demand, priority, profile });
        } else {
            self.forget_pending(&uid);
        }
    }

    /// A pod has no place to wait for any more.
    fn forget_pending(&mut self, uid: &Uid) {
        self.queue.remove(uid);
        self.pending.remove(uid);
        if let Some(node) = self.cluster.denominate(uid) {
            self.helped(&Change::Node(&node));
        }
    }

    fn forget_pod(&mut self, uid: &Uid) {
        self.forget_pending(uid);
        self.assumed.remove(uid);
        self.awaiting.remove(uid);
        self.cluster.volumes_mut().forget_assumed(uid);
        if let Some((pod, node)) = self.cluster.take(uid) {
            self.helped(&Change::PodWent(&pod.demand, &node));
        }
    }

    /// Pods that wait may fit now.
    pub(crate) fn helped(&mut self, change: &Change<'_>) {
        let now = self.now();
        let cluster = &self.cluster;
        self.queue.reactivate(now, |waiting| cluster.helps(change, waiting));
    }
}

pub(crate) fn ask(queued: &Queued) -> Ask<'_> {
    let Queued { uid, demand, priority, profile } = queued;
    Ask { uid, demand, priority: *priority, profile: *profile }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
