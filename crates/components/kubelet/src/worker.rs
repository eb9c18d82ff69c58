//! One pod's worker: look, decide, act, wait.

mod observe;
mod resize;
mod sandbox;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use minato_client::{EventKind, reference_to};
use minato_podlife::ephemeral::ephemeral_containers;
use minato_podlife::{Action, Decision, Input, Memory, ProbeKind, Rejection, StopCause, back_off_message, decide};
use minato_runtime::{ContainerId, ContainerStatus, Resources};
use minato_scope::Scope;
use parking_lot::RwLock;

use crate::claims::Claims;
use crate::inbox::Inbox;
use crate::lifecycle_hook;
use crate::node::Node;
use crate::prober::{self, Prober, Subject};
use crate::publisher::Publisher;
use crate::references::Subscription;
use crate::tokens::Tokens;
use crate::volumes::MountedVolumes;
use observe::{Known, SandboxView};

const RETRY: Duration = Duration::from_secs(2);

/// What the rest of the kubelet knows of a pod: the server reads it, watches write to its inbox.
pub(crate) struct PodHandle {
    /// News for the worker.
    pub(crate) inbox: Arc<Inbox>,
    /// The newest picture of the pod.
    pub(crate) picture: RwLock<Picture>,
    /// The node took it in.
    pub(crate) admitted: bool,
}

/// A pod as its worker last saw it.
#[derive(Clone, Default)]
pub(crate) struct Picture {
    /// The object, with our own status.
    pub(crate) pod: Arc<Pod>,
    /// Its containers, all attempts that still exist.
    pub(crate) containers: Vec<ContainerStatus>,
}

/// What the runtime has of a pod that this process did not start.
#[derive(Default)]
pub(crate) struct Adopted {
    /// The sandbox exists and its namespaces do.
    pub(crate) sandbox_ready: bool,
    /// There is a sandbox at all.
    pub(crate) sandbox_exists: bool,
    /// Its containers.
    pub(crate) containers: Vec<ContainerStatus>,
}

/// The worker.
pub(crate) struct Worker {
    node: Arc<Node>,
    scope: Scope,
    handle: Arc<PodHandle>,
    pod: Arc<Pod>,
    uid: String,
    api: Api<Pod>,
    reference: ObjectReference,
    gone: bool,
    memory: Memory,
    known: BTreeMap<ContainerId, Known>,
    /// Limits that could not be set, not to be tried again.
    refused: BTreeMap<ContainerId, Resources>,
    sandbox: SandboxView,
    status: PodStatus,
    publisher: Publisher,
    references: Subscription,
    tokens: Tokens,
    claims: Claims,
    volumes: Option<MountedVolumes>,
    /// As the others, see [`ephemeral_containers`].
    ephemeral: Vec<Container>,
    prober: Prober,
    /// Attempts whose back-off was told already.
    announced: BTreeSet<(String, i32, String)>,
}

impl Worker {
    pub(crate) fn new(
        node: Arc<Node>,
        scope: Scope,
        handle: Arc<PodHandle>,
        pod: Arc<Pod>,
        adopted: Adopted,
        rejection: Option<Rejection>,
    ) -> Self {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(node.client.clone(), &namespace);
        let publisher = Publisher::start(&scope, api.clone(), &pod);
        let names = minato_podlife::payload::referenced_names(&pod);
        let references = node.watches.subscribe(&namespace, &names, &handle.inbox);
        let known = adopted.containers.into_iter().map(|status| (status.id.clone(), Known::new(status))).collect();
        let mut memory = Memory::default();
        rejection.into_iter().for_each(|rejection| memory.reject(rejection));
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            reference: reference_to(&*pod),
            gone: false,
            memory,
            known,
            refused: BTreeMap::new(),
            sandbox: SandboxView { exists: adopted.sandbox_exists, ready: adopted.sandbox_ready, ips: Vec::new() },
            status: pod.status.clone().unwrap_or_default(),
            publisher,
            references,
            tokens: Tokens::default(),
            claims: Claims::default(),
            volumes: None,
            ephemeral: ephemeral_containers(&pod),
            prober: Prober::default(),
            announced: BTreeSet::new(),
            api,
            node,
            scope,
            handle,
            pod,
        }
    }

    /// Works until the pod is gone and cleaned up, or the scope ends.
    pub(crate) async fn run(mut self) {
        let scope = self.scope.clone();
        tokio::select! {
            () = scope.cancelled() => {}
            () = self.live() => {}
        }
        scope.cancel();
    }

    async fn live(&mut self) {
        self.adopt().await;
        loop {
            self.read_news().await;
            let observed = self.observed();
            let decision = self.decide(&observed);
            self.tell(&decision);
            if decision.actions.is_empty() {
                self.wait(decision.wake_at).await;
            } else if self.perform(decision.actions).await {
                return;
            }
        }
    }

    fn decide(&self, observed: &minato_podlife::Observed) -> Decision {
        decide(self.input(observed))
    }

    fn input<'a>(&'a self, observed: &'a minato_podlife::Observed) -> Input<'a> {
        Input {
            pod: &self.pod,
            gone: self.gone,
            previous: &self.status,
            observed,
            memory: &self.memory,
            host_ips: &self.node.host_ips,
            now: Timestamp::now(),
        }
    }

    /// Takes the inbox into account.
    async fn read_news(&mut self) {
        let news = self.handle.inbox.take();
        let mut refresh = news.references_changed;
        if news.references_changed || news.images_changed {
            self.memory.references_changed();
        }
        let changed = news.pod.is_some();
        if let Some(pod) = news.pod {
            self.publisher.seen(&pod);
            refresh |= pod.metadata.labels != self.pod.metadata.labels
                || pod.metadata.annotations != self.pod.metadata.annotations;
            self.pod = pod;
            let ephemeral = ephemeral_containers(&self.pod);
            if ephemeral != self.ephemeral {
                let names = minato_podlife::payload::referenced_names(&self.pod);
                let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
                self.references = self.node.watches.subscribe(namespace, &names, &self.handle.inbox);
                self.ephemeral = ephemeral;
            }
        }
        self.gone |= news.gone;
        for id in &news.stops_ended {
            if let Some(known) = self.known.get_mut(id) {
                known.stopping = None;
            }
        }
        let ids: Vec<ContainerId> = if news.all_containers {
            self.known.keys().cloned().collect()
        } else {
            news.containers.into_iter().chain(news.stops_ended).collect()
        };
        for id in ids {
            self.look_at(&id).await;
        }
        if changed && !self.is_ending() {
            self.resize().await;
        }
        for ((name, kind), (id, healthy)) in news.probes {
            self.memory.probed(&name, &id.0, kind, healthy);
        }
        let renew = self.tokens.renew_at().is_some_and(|at| at <= Timestamp::now());
        if (refresh || renew) && self.volumes.is_some() && !self.is_ending() {
            self.refresh_volumes().await;
        }
    }

    fn is_ending(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Publishes the decision's status, to the API and to the server, and starts or stops probes by it.
    fn tell(&mut self, decision: &Decision) {
        self.status.clone_from(&decision.status);
        if !self.gone {
            self.publisher.publish(&self.status);
        }
        let mut pod = Pod::clone(&self.pod);
        pod.status = Some(self.status.clone());
        *self.handle.picture.write() =
            Picture { pod: Arc::new(pod), containers: self.known.values().map(|known| known.status.clone()).collect() };
        self.keep_probes();
        self.announce_back_off();
    }

    fn containers(&self) -> impl Iterator<Item = &Container> {
        let spec = self.pod.spec.iter();
        spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers)).chain(&self.ephemeral)
    }

    fn keep_probes(&mut self) {
        let statuses: Vec<_> = self
            .status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(self.status.container_statuses.iter().flatten())
            .collect();
        let mut wanted = Vec::new();
        for container in self.containers() {
            let has_probe = container.startup_probe.is_some()
                || container.readiness_probe.is_some()
                || container.liveness_probe.is_some();
            if !has_probe {
                continue;
            }
            let started = statuses.iter().any(|status| status.name == container.name && status.started == Some(true));
            let running = self.known.values().filter(|known| known.status.name == container.name);
            for (known, started_at) in running.filter_map(|known| Some((known, known.running_since()?))) {
                let mut add = |kind| {
                    wanted.push(Subject {
                        container: container.clone(),
                        id: known.status.id.clone(),
                        kind,
                        started_at,
                        adopted: started_at < self.node.started_at,
                    });
                };
                if container.startup_probe.is_some() && !started && !self.is_ending() {
                    add(ProbeKind::Startup);
                }
                if container.readiness_probe.is_some() && started {
                    add(ProbeKind::Readiness);
                }
                if container.liveness_probe.is_some() && started && !self.is_ending() {
                    add(ProbeKind::Liveness);
                }
            }
        }
        let surroundings = prober::Surroundings {
            runtime: Arc::clone(&self.node.runtime),
            inbox: Arc::clone(&self.handle.inbox),
            recorder: self.node.recorder.clone(),
            series: self.node.probes.clone(),
            pod_ip: self.status.pod_ip.clone().unwrap_or_default(),
            reference: self.reference.clone(),
        };
        self.prober.keep(&self.scope, &surroundings, wanted);
    }

    fn announce_back_off(&mut self) {
        let observed = self.observed();
        let statuses = self.status.init_container_statuses.iter().flatten();
        let statuses = statuses.chain(self.status.container_statuses.iter().flatten());
        let statuses = statuses.chain(self.status.ephemeral_container_statuses.iter().flatten());
        let mut news = Vec::new();
        for status in statuses {
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let Some(reason) = waiting.and_then(|waiting| waiting.reason.as_deref()) else { continue };
            let key = (status.name.clone(), status.restart_count, reason.to_owned());
            if self.announced.contains(&key) {
                continue;
            }
            match reason {
                "CrashLoopBackOff" => {
                    let input = self.input(&observed);
                    let message = back_off_message(&input, &status.name);
                    // The event leaves the delay out, so that repeats are counted on one event.
                    let rest = message.split_once("restarting").map_or(message.as_str(), |(_, rest)| rest);
                    let rest = rest.replacen("container=", "container ", 1).replacen("pod=", "in pod ", 1);
                    news.push((key, EventKind::Warning, "BackOff", format!("Back-off restarting{rest}")));
                }
                "ImagePullBackOff" => {
                    let message = format!("Back-off pulling image \"{}\"", status.image);
                    news.push((key, EventKind::Normal, "BackOff", message));
                }
                _ => {}
            }
        }
        for (key, kind, reason, message) in news {
            self.event_for(&key.0, kind, reason, message);
            self.announced.insert(key);
        }
    }

    /// Records an event about one of the pod's containers.
    fn event_for(&self, container: &str, kind: EventKind, reason: &str, message: impl Into<String>) {
        let inits = self.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let list = match inits.into_iter().any(|init| init.name == container) {
            true => "initContainers",
            false if self.ephemeral.iter().any(|ephemeral| ephemeral.name == container) => "ephemeralContainers",
            false => "containers",
        };
        let reference =
            ObjectReference { field_path: Some(format!("spec.{list}{{{container}}}")), ..self.reference.clone() };
        self.node.recorder.record(&reference, kind, reason, message);
    }

    fn event(&self, kind: EventKind, reason: &str, message: impl Into<String>) {
        self.node.recorder.record(&self.reference, kind, reason, message);
    }

    async fn wait(&self, wake_at: Option<Timestamp>) {
        let wake_at = [wake_at, self.tokens.renew_at()].into_iter().flatten().min();
        let news = self.handle.inbox.news();
        match wake_at {
            None => news.await,
            Some(at) => {
                let delay = at.duration_since(Timestamp::now()).max(SignedDuration::from_millis(1));
                tokio::select! {
                    () = news => {}
                    () = tokio::time::sleep(delay.unsigned_abs()) => {}
                }
            }
        }
    }

    /// Does what was decided; true when the pod is finished with.
    async fn perform(&mut self, actions: Vec<Action>) -> bool {
        let mut starts = Vec::new();
        for action in actions {
            match action {
                Action::Start { name, attempt, restart_of, .. } => {
                    if let Some(ended) = restart_of {
                        self.memory.restarting(&name, ended, Timestamp::now());
                    }
                    starts.push((name, attempt));
                }
                Action::CreateSandbox => self.create_sandbox().await,
                Action::Stop { name, id, grace, cause } => self.stop(&name, ContainerId(id), grace, cause),
                Action::Remove { id } => self.remove(&ContainerId(id)).await,
                Action::StopSandbox => self.stop_sandbox().await,
                Action::Finish => return self.finish().await,
            }
        }
        if !starts.is_empty() {
            self.start_all(starts).await;
        }
        false
    }

    /// Begins to stop a container; its exit is told by the runtime.
    fn stop(&mut self, name: &str, id: ContainerId, grace: SignedDuration, cause: StopCause) {
        let message = match cause {
            StopCause::Liveness => format!("Container {name} failed liveness probe, will be restarted"),
            StopCause::Startup => format!("Container {name} failed startup probe, will be restarted"),
            StopCause::Resized => format!("Container {name} resize requires restart"),
            _ => format!("Stopping container {name}"),
        };
        self.event_for(name, EventKind::Normal, "Killing", message);
        let now = Timestamp::now();
        let Some(known) = self.known.get_mut(&id) else { return };
        let first = known.stopping.is_none();
        known.stopping = Some(now.saturating_add(grace).unwrap_or(Timestamp::MAX));
        let container = self.containers().find(|container| container.name == name).cloned();
        let runtime = Arc::clone(&self.node.runtime);
        let inbox = Arc::clone(&self.handle.inbox);
        let recorder = self.node.recorder.clone();
        let reference = self.reference.clone();
        let pod_ip = self.status.pod_ip.clone().unwrap_or_default();
        let grace = grace.unsigned_abs();
        self.scope.spawn("stop", async move {
            let begun = tokio::time::Instant::now();
            let hook = container.as_ref().and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref());
            if let (Some(container), Some(hook), true) = (&container, hook, first)
                && let Err(error) = lifecycle_hook::run(hook, container, &id, &pod_ip, &*runtime, grace).await
            {
                recorder.record(
                    &reference,
                    EventKind::Warning,
                    "FailedPreStopHook",
                    format!("PreStopHook failed: {error}"),
                );
            }
            // As upstream: two seconds for the process itself, however long the hook took.
            let left = grace.saturating_sub(begun.elapsed()).max(Duration::from_secs(2).min(grace));
            if let Err(error) = runtime.stop_container(&id, left).await {
                tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "failed to stop a container");
                recorder.record(&reference, EventKind::Warning, "FailedKillPod", format!("error killing pod: {error}"));
                tokio::time::sleep(RETRY).await;
            }
            inbox.tell(|pending| {
                pending.stops_ended.insert(id);
            });
        });
    }

    async fn remove(&mut self, id: &ContainerId) {
        if let Err(error) = self.node.runtime.remove_container(id).await {
            tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "failed to remove a container");
            tokio::time::sleep(RETRY).await;
            return;
        }
        self.refused.remove(id);
        if let Some(known) = self.known.remove(id) {
            let status = known.status;
            let termination =
                crate::host_files::termination_path(&self.node.config, &self.uid, &status.name, status.attempt);
            for path in status.log_path.into_iter().chain([termination]) {
                if let Err(error) = tokio::fs::remove_file(&path).await {
                    tracing::debug!(path = %path.display(), %error, "nothing to remove");
                }
            }
        }
    }

    /// Writes the last status, clears the host and deletes the object. True unless it has to be done again.
    async fn finish(&mut self) -> bool {
        if !self.gone {
            self.publisher.flush().await;
        }
        if let Err(error) = self.clear_host().await {
            tracing::warn!(
                pod = self.reference.name,
                error = &error as &dyn std::error::Error,
                "failed to clean up after a pod"
            );
            tokio::time::sleep(RETRY).await;
            return false;
        }
        if self.gone {
            return true;
        }
        let name = self.pod.metadata.name.as_deref().unwrap_or_default();
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api.delete(name, &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => {
                tracing::warn!(
                    pod = name,
                    error = &error as &dyn std::error::Error,
                    "failed to delete the object of a pod that ended"
                );
                tokio::time::sleep(RETRY).await;
                return false;
            }
        }
        // A finalizer may keep the object: then it stays as it is, and this worker waits until it goes.
        while !self.gone {
            let news = self.handle.inbox.take();
            self.gone |= news.gone;
            if !self.gone {
                self.handle.inbox.news().await;
            }
        }
        true
    }
}
