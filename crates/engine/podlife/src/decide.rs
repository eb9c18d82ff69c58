//! What to do next for one pod.
//!
//! [`decide`] is level-triggered: it looks at the whole pod every time and never remembers what it asked for, so an
//! action that was lost or failed comes back by itself. Applied until nothing is left to do it gives no more actions.
//!
//! | stage | when | what happens |
//! |---|---|---|
//! | running | the pod shall run | sandbox, then init containers one by one, then all containers; restarts with back-off; ephemeral containers at once |
//! | finished | all containers ended for good, or a deadline passed, or the node refused it | sidecars and sandbox stop; records stay for `kubectl logs` |
//! | terminating | `deletionTimestamp`, or gone from the API | everything stops in parallel (sidecars last, in reverse), then the sandbox, then the object goes |

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, PodStatus, Probe};

use crate::ephemeral::ephemeral_containers;
use crate::memory::{FailureKind, Memory};
use crate::observed::{Container, ContainerState, Exit, Observed};
use crate::restart::{self, is_sidecar};
use crate::status;

/// Everything a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The pod as the API last showed it.
    pub pod: &'a Pod,
    /// The object is no longer in the API.
    pub gone: bool,
    /// The newest status that was made for it, which the API may not know yet.
    pub previous: &'a PodStatus,
    /// The runtime's view.
    pub observed: &'a Observed,
    /// Failures, delays and probe results.
    pub memory: &'a Memory,
    /// The node's addresses.
    pub host_ips: &'a [String],
    /// The time.
    pub now: Timestamp,
}

/// What to do now, when to look again at the latest, and what to tell the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// To be done in this order; several `Start`s or `Stop`s in a row may be done at once.
    pub actions: Vec<Action>,
    /// Look again at this time even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// The status to report.
    pub status: PodStatus,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Set up volumes, namespaces and network.
    CreateSandbox,
    /// Make and start a container.
    Start {
        /// The container's name.
        name: String,
        /// Whether it is an init container (or sidecar).
        init: bool,
        /// 0 for the first time.
        attempt: u32,
        /// When the attempt before it ended.
        restart_of: Option<Timestamp>,
    },
    /// Ask a container to end; kill it after the grace period.
    Stop {
        /// The container's name.
        name: String,
        /// The runtime's name of the instance.
        id: String,
        /// From the first signal to the kill.
        grace: SignedDuration,
        /// Why.
        cause: StopCause,
    },
    /// Forget an ended container and its log.
    Remove {
        /// The runtime's name of the instance.
        id: String,
    },
    /// Take down namespaces and network; the records of ended containers stay.
    StopSandbox,
    /// Clean the host of the pod and delete the object.
    Finish,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The pod is being deleted.
    Deleted,
    /// The pod is finished: deadline, refusal, or all main containers have ended.
    Finished,
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// It cannot get its new limits while it runs.
    Resized,
    /// The pod's namespaces are gone.
    SandboxLost,
}

/// Where the pod is in its life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    Running,
    Finished { reason: Option<(String, String)> },
    Terminating,
}

/// Decides.
pub fn decide(input: Input<'_>) -> Decision {
    let stage = stage(&input);
    let mut plan = Plan::default();
    match &stage {
        Stage::Running => plan.run(&input),
        Stage::Finished { .. } => plan.end(&input, pod_grace(input.pod), StopCause::Finished),
        Stage::Terminating => plan.end(&input, deletion_grace(&input), StopCause::Deleted),
    }
    if let Some(deadline) = deadline(&input).filter(|_| stage == Stage::Running) {
        plan.wake(deadline);
    }
    let status = status::generate(&input, &stage);
    Decision { actions: plan.actions, wake_at: plan.wake_at, status }
}

fn stage(input: &Input<'_>) -> Stage {
    if input.gone || input.pod.metadata.deletion_timestamp.is_some() {
        return Stage::Terminating;
    }
    if let Some(rejection) = &input.memory.rejection {
        let message = format!("Pod was rejected: {}", rejection.message);
        return Stage::Finished { reason: Some((rejection.reason.clone(), message)) };
    }
    let phase = input.previous.phase.as_deref();
    if matches!(phase, Some("Failed" | "Succeeded")) {
        let reason = input.previous.reason.clone().zip(input.previous.message.clone());
        return Stage::Finished { reason };
    }
    if deadline(input).is_some_and(|deadline| deadline <= input.now) {
        let message = "Pod was active on the node longer than the specified deadline";
        return Stage::Finished { reason: Some(("DeadlineExceeded".into(), message.into())) };
    }
    if finished(input) { Stage::Finished { reason: None } } else { Stage::Running }
}

fn deadline(input: &Input<'_>) -> Option<Timestamp> {
    let seconds = input.pod.spec.as_ref()?.active_deadline_seconds?;
    let start = input.previous.start_time.as_ref().map_or(input.now, |time| time.0);
    start.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// No container will ever run again of its own.
fn finished(input: &Input<'_>) -> bool {
    let Some(spec) = &input.pod.spec else { return false };
    let failed_init = spec.init_containers.iter().flatten().filter(|container| !is_sidecar(container)).any(|init| {
        ended(input, &init.name)
            .is_some_and(|ended| ended.exit_code != 0 && !restart::restarts(input.pod, init, true, ended.exit_code))
    });
    let main_ended = spec.containers.iter().all(|container| {
        ended(input, &container.name)
            .is_some_and(|ended| !restart::restarts(input.pod, container, false, ended.exit_code))
    });
    failed_init || main_ended
}

/// How the newest attempt of a container ended, if it has.
pub(crate) fn ended<'a>(input: &Input<'a>, name: &str) -> Option<&'a Exit> {
    input.observed.latest(name)?.exit()
}

/// Whether a running container has passed its startup probe, or has none.
pub(crate) fn has_started(input: &Input<'_>, spec: &ContainerSpec, instance: &Container) -> bool {
    if !instance.is_running() {
        return false;
    }
    if spec.startup_probe.is_none() {
        return true;
    }
    let probed = input.memory.probes(&spec.name, &instance.id).and_then(|probes| probes.startup);
    probed.unwrap_or_else(|| {
        status::adopted(input.previous, &spec.name, &instance.id).is_some_and(|old| old.started == Some(true))
    })
}

/// When a container that is not running may be started.
pub(crate) enum Gate {
    Now { attempt: u32, restart_of: Option<Timestamp> },
    At(Timestamp),
}

/// Back-off of a container that should run and does not.
pub(crate) fn gate(input: &Input<'_>, name: &str) -> Gate {
    let memory = input.memory.container(name);
    let failure = memory.and_then(|memory| memory.failure.as_ref());
    if let Some(failure) = failure.filter(|failure| !failure.kind.counts_as_attempt()) {
        let due = match failure.kind {
            FailureKind::ImagePull => memory.and_then(|memory| memory.images.due(failure.at, input.now)),
            _ => failure.at.checked_add(crate::memory::CONFIG_RETRY).ok().filter(|due| *due > input.now),
        };
        if let Some(due) = due {
            return Gate::At(due);
        }
    }
    let Some(latest) = input.observed.latest(name) else {
        let lost = status::lost_restarts(input.previous, name);
        return Gate::Now { attempt: lost.map_or(0, |restarts| restarts + 1), restart_of: lost.map(|_| input.now) };
    };
    let Some(ended) = ended(input, name) else {
        return Gate::Now { attempt: latest.attempt, restart_of: None };
    };
    let finished_at = ended.finished_at;
    match memory.and_then(|memory| memory.restarts.due(finished_at, input.now)) {
        Some(due) => Gate::At(due),
        None => Gate::Now { attempt: latest.attempt + 1, restart_of: Some(finished_at) },
    }
}

/// The grace period in the specification, 30 s by default.
pub fn pod_grace(pod: &Pod) -> SignedDuration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    SignedDuration::from_secs(seconds.max(1))
}

/// What is left of the grace period of a deletion. At least a second, as upstream: a container shall see its SIGTERM.
fn deletion_grace(input: &Input<'_>) -> SignedDuration {
    const MIN: SignedDuration = SignedDuration::from_secs(1);
    let metadata = &input.pod.metadata;
    match (&metadata.deletion_timestamp, metadata.deletion_grace_period_seconds) {
        (Some(deadline), Some(grace)) => {
            deadline.0.duration_since(input.now).min(SignedDuration::from_secs(grace)).max(MIN)
        }
        _ => pod_grace(input.pod).max(MIN),
    }
}

fn probe_grace(pod: &Pod, probe: Option<&Probe>) -> SignedDuration {
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
    own.map_or_else(|| pod_grace(pod), |seconds| SignedDuration::from_secs(seconds.max(1)))
}

/// The decision as it is being made.
#[derive(Default)]
struct Plan {
    actions: Vec<Action>,
    wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    fn run(&mut self, input: &Input<'_>) {
        let Some(spec) = &input.pod.spec else { return };
        self.collect_garbage(input);
        if input.observed.sandbox.as_ref().is_none_or(|sandbox| !sandbox.ready) {
            self.make_sandbox(input);
            return;
        }
        for container in ephemeral_containers(input.pod) {
            let never_started = match input.observed.latest(&container.name) {
                Some(latest) => latest.state == ContainerState::Created,
                None => status::lost_restarts(input.previous, &container.name).is_none(),
            };
            if never_started {
                self.start(input, &container, false);
            }
        }
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let initialised = spec.containers.iter().any(|container| input.observed.latest(&container.name).is_some());
        let mut may_start_main = true;
        for container in inits {
            if initialised && !is_sidecar(container) {
                continue;
            }
            let latest = input.observed.latest(&container.name);
            self.stop_unhealthy(input, container, latest);
            let done = match latest.filter(|latest| latest.is_running()) {
                Some(latest) => is_sidecar(container) && has_started(input, container, latest),
                None => match ended(input, &container.name) {
                    Some(ended) if !is_sidecar(container) && ended.exit_code == 0 => true,
                    _ => {
                        self.start(input, container, true);
                        false
                    }
                },
            };
            if !done && !initialised {
                may_start_main = false;
                break;
            }
        }
        if !may_start_main {
            return;
        }
        for container in &spec.containers {
            let latest = input.observed.latest(&container.name);
            self.stop_unhealthy(input, container, latest);
            if latest.is_some_and(Container::is_running) {
                continue;
            }
            let again = ended(input, &container.name)
                .is_none_or(|ended| restart::restarts(input.pod, container, false, ended.exit_code));
            if again {
                self.start(input, container, false);
            }
        }
    }

    fn make_sandbox(&mut self, input: &Input<'_>) {
        if input.observed.any_running() {
            for container in input.observed.containers.iter().filter(|container| container.is_running()) {
                self.stop(input, container, pod_grace(input.pod), StopCause::SandboxLost);
            }
            return;
        }
        match &input.memory.sandbox {
            Some(failure) if failure.retry_at > input.now => self.wake(failure.retry_at),
            _ => self.actions.push(Action::CreateSandbox),
        }
    }

    fn start(&mut self, input: &Input<'_>, container: &ContainerSpec, init: bool) {
        match gate(input, &container.name) {
            Gate::At(due) => {
                self.wake(due);
                if let Some(flip) = status::reason_flip(input, &container.name) {
                    self.wake(flip);
                }
            }
            Gate::Now { attempt, restart_of } => {
                let leftover = input.observed.latest(&container.name).filter(|latest| latest.attempt == attempt);
                self.actions.extend(leftover.map(|latest| Action::Remove { id: latest.id.clone() }));
                self.actions.push(Action::Start { name: container.name.clone(), init, attempt, restart_of });
            }
        }
    }

    fn stop_unhealthy(&mut self, input: &Input<'_>, spec: &ContainerSpec, latest: Option<&Container>) {
        let Some(latest) = latest.filter(|latest| latest.is_running()) else { return };
        let Some(probes) = input.memory.probes(&spec.name, &latest.id) else { return };
        if probes.startup == Some(false) {
            self.stop(input, latest, probe_grace(input.pod, spec.startup_probe.as_ref()), StopCause::Startup);
        } else if probes.liveness == Some(false) {
            self.stop(input, latest, probe_grace(input.pod, spec.liveness_probe.as_ref()), StopCause::Liveness);
        }
    }

    /// Asks for a stop unless one that kills as early is under way.
    fn stop(&mut self, input: &Input<'_>, container: &Container, grace: SignedDuration, cause: StopCause) {
        const SLACK: SignedDuration = SignedDuration::from_secs(1);
        let deadline = input.now.saturating_add(grace).unwrap_or(Timestamp::MAX);
        let sooner = |kill_at: Timestamp| kill_at.duration_since(deadline) > SLACK;
        if container.stopping.is_none_or(sooner) {
            self.actions.push(Action::Stop { name: container.name.clone(), id: container.id.clone(), grace, cause });
        }
    }

    /// Keeps the newest attempt of each container and the one before it, for `kubectl logs --previous`.
    fn collect_garbage(&mut self, input: &Input<'_>) {
        for container in &input.observed.containers {
            let newer = |other: &&Container| other.name == container.name && other.attempt > container.attempt;
            if !container.is_running() && input.observed.containers.iter().filter(newer).count() > 1 {
                self.actions.push(Action::Remove { id: container.id.clone() });
            }
        }
    }

    fn end(&mut self, input: &Input<'_>, grace: SignedDuration, cause: StopCause) {
        let inits = input.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let sidecars: Vec<&str> =
            inits.filter(|container| is_sidecar(container)).map(|container| container.name.as_str()).collect();
        let running: Vec<&Container> =
            input.observed.containers.iter().filter(|container| container.is_running()).collect();
        let (last, first): (Vec<&Container>, Vec<&Container>) =
            running.iter().partition(|container| sidecars.contains(&container.name.as_str()));
        for container in &first {
            self.stop(input, container, grace, cause);
        }
        if first.is_empty() {
            let place = |container: &&&Container| sidecars.iter().position(|name| *name == container.name);
            if let Some(container) = last.iter().max_by_key(place) {
                self.stop(input, container, grace, cause);
            }
        }
        if !running.is_empty() {
            return;
        }
        if input.observed.sandbox.as_ref().is_some_and(|sandbox| sandbox.ready) {
            self.actions.push(Action::StopSandbox);
        } else if cause == StopCause::Deleted {
            self.actions.push(Action::Finish);
        }
    }
}
