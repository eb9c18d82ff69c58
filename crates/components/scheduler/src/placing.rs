//! The loop: learn, decide, assume, carry out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use minato_client::{EventKind, Recorder};
use minato_placement::{Cluster, Queue, Queued, Uid, Unschedulable};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Config;
use crate::bind::{PodName, RequestError, bind, tell};
use crate::watch::{Listed, SeenPod, UPDATES_MAX, Update};

/// Decisions between two looks at the updates.
const DECISIONS_MAX: usize = 256;

/// Everything the scheduler knows.
pub(crate) struct Placing {
    config: Config,
    client: Client,
    recorder: Recorder,
    started: Instant,
    cluster: Cluster,
    queue: Queue,
    /// The pods that have no node yet.
    pending: HashMap<Uid, Pending>,
    /// Pods on the node that we chose, as long as the watch has not shown them there.
    assumed: HashSet<Uid>,
    /// Whether nodes and pods have been listed: before that nothing is decided.
    listed: (bool, bool),
    tasks: JoinSet<Done>,
}

struct Pending {
    pod: PodName,
    /// Since when the pod's status has said that it fits nowhere, and why.
    told: Option<(Time, String)>,
}

/// What became of a request.
enum Done {
    Bound { pod: PodName, node: Arc<str>, result: Result<(), RequestError> },
    Told { pod: PodName, result: Result<(), RequestError> },
}

impl Placing {
    pub(crate) fn new(config: Config, client: Client, recorder: Recorder) -> Self {
        Self {
            config,
            client,
            recorder,
            started: Instant::now(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            pending: HashMap::new(),
            assumed: HashSet::new(),
            listed: (false, false),
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
            let more = self.decide();
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
                () = wait_until(self.queue.next_wake().map(|wake| self.started + wake)) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Decides about pods while there are some and bindings may be started. True if there may be more to decide.
    fn decide(&mut self) -> bool {
        if self.listed != (true, true) {
            return false;
        }
        for _ in 0..DECISIONS_MAX {
            if self.tasks.len() >= self.config.bindings_max {
                return false;
            }
            let now = self.now();
            let Some(queued) = self.queue.pop(now) else { return false };
            match self.cluster.place(&queued.demand) {
                Ok(node) => self.assume(queued, node),
                Err(reason) => self.put_off(&queued, &reason),
            }
        }
        true
    }

    fn assume(&mut self, queued: Queued, node: Arc<str>) {
        let Queued { uid, demand } = queued;
        let Some(pending) = self.pending.get(&uid) else { return self.queue.remove(&uid) };
        self.cluster.put(&uid, &demand, &node);
        self.assumed.insert(uid);
        let (client, pod) = (self.client.clone(), pending.pod.clone());
        self.tasks.spawn(async move {
            let result = bind(client, &pod, &node).await;
            Done::Bound { pod, node, result }
        });
    }

    fn put_off(&mut self, queued: &Queued, reason: &Unschedulable) {
        self.queue.wait(&queued.uid, self.now());
        let Some(pending) = self.pending.get_mut(&queued.uid) else { return };
        let message = reason.to_string();
        let since = match &pending.told {
            Some((_, told)) if *told == message => return,
            Some((since, _)) => since.clone(),
            None => Time(Timestamp::now()),
        };
        pending.told = Some((since.clone(), message.clone()));
        self.recorder.record(&pending.pod.reference(), EventKind::Warning, "FailedScheduling", message.clone());
        let (client, pod) = (self.client.clone(), pending.pod.clone());
        self.tasks.spawn(async move {
            let result = tell(client, &pod, &message, &since).await;
            Done::Told { pod, result }
        });
    }

    /// Takes note of a request's end.
    fn finish(&mut self, done: Option<Done>) {
        match done {
            None => tracing::error!("a request of the scheduler panicked"),
            Some(Done::Bound { pod, node, result: Ok(()) }) => {
                self.queue.remove(&pod.uid);
                self.pending.remove(&pod.uid);
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.recorder.record(&pod.reference(), EventKind::Normal, "Scheduled", message);
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
        }
    }

    /// A binding failed: unless the watch has shown the pod on its node meanwhile, it is free again.
    fn unassume(&mut self, pod: &PodName, node: &str, error: &RequestError) {
        if !self.assumed.remove(&pod.uid) {
            return;
        }
        let (namespace, name) = (&pod.namespace, &pod.name);
        tracing::warn!(namespace, pod = name, node, error = error as &dyn std::error::Error, "binding failed");
        self.cluster.take(&pod.uid);
        if error.is_not_found() {
            self.queue.remove(&pod.uid);
            self.pending.remove(&pod.uid);
        } else {
            self.queue.retry(&pod.uid);
        }
        self.node_changed(node);
    }

    fn learn(&mut self, update: Update) {
        match update {
            Update::Nodes(Listed::Applied(node)) => self.learn_node(&node),
            Update::Nodes(Listed::Gone(name)) => self.cluster.remove_node(&name),
            Update::Nodes(Listed::All(nodes)) => {
                let listed: HashSet<&str> = nodes.iter().filter_map(|node| node.metadata.name.as_deref()).collect();
                let gone = self.cluster.node_names().filter(|name| !listed.contains(name));
                let gone: Vec<String> = gone.map(str::to_owned).collect();
                gone.iter().for_each(|name| self.cluster.remove_node(name));
                nodes.iter().for_each(|node| self.learn_node(node));
                self.listed.0 = true;
            }
            Update::Pods(Listed::Applied(pod)) => self.learn_pod(pod),
            Update::Pods(Listed::Gone(uid)) => self.forget_pod(&uid),
            Update::Pods(Listed::All(pods)) => {
                let listed: HashSet<&Uid> = pods.iter().map(|pod| &pod.uid).collect();
                let known = self.cluster.placed().chain(self.queue.uids());
                let gone: HashSet<Uid> = known.filter(|uid| !listed.contains(uid)).cloned().collect();
                gone.iter().for_each(|uid| self.forget_pod(uid));
                pods.into_iter().for_each(|pod| self.learn_pod(pod));
                self.listed.1 = true;
            }
        }
    }

    fn learn_node(&mut self, node: &Node) {
        if self.cluster.set_node(node)
            && let Some(name) = &node.metadata.name
        {
            self.node_changed(name);
        }
    }

    fn learn_pod(&mut self, seen: SeenPod) {
        let SeenPod { uid, namespace, name, node, demand, priority, is_ours, unschedulable } = seen;
        if let Some(node) = node {
            self.assumed.remove(&uid);
            self.queue.remove(&uid);
            self.pending.remove(&uid);
            let was_on = self.cluster.node_of(&uid).map(str::to_owned);
            if self.cluster.put(&uid, &demand, &node)
                && let Some(was_on) = was_on
            {
                self.node_changed(&was_on); // it went elsewhere, or demands less
            }
        } else if self.assumed.contains(&uid) {
            // An older state than the one that our binding makes.
        } else if is_ours {
            let told = unschedulable.map(|(since, message)| (since.unwrap_or(Time(Timestamp::now())), message));
            let pod = PodName { uid: uid.clone(), namespace, name };
            self.pending.entry(uid.clone()).or_insert(Pending { pod, told });
            self.queue.add(uid, demand, priority);
        } else {
            self.queue.remove(&uid);
            self.pending.remove(&uid);
        }
    }

    fn forget_pod(&mut self, uid: &Uid) {
        self.queue.remove(uid);
        self.pending.remove(uid);
        self.assumed.remove(uid);
        if let Some(node) = self.cluster.take(uid) {
            self.node_changed(&node);
        }
    }

    /// Pods that wait may fit now.
    fn node_changed(&mut self, node: &str) {
        let now = self.now();
        let cluster = &self.cluster;
        self.queue.reactivate(now, |demand| cluster.fits(demand, node));
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
