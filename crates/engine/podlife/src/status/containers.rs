//! One container's status.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::backoff::go_duration;
use crate::decide::{Gate, Input, Stage, ended, gate, has_started};
use crate::memory::{FailureKind, StartFailure};
use crate::observed::{Container, ContainerState, Exit};
use crate::restart::{is_sidecar, restarts};

/// How long the error itself is shown before the reason becomes the back-off.
const ERROR_SHOWN: SignedDuration = SignedDuration::from_secs(2);

/// The runtime's name of a container in the API's form.
pub(crate) fn container_id(id: &str) -> String {
    format!("minato://{id}")
}

fn old_status<'a>(previous: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let inits = previous.init_container_statuses.iter().flatten();
    let mains = previous.container_statuses.iter().flatten();
    inits.chain(mains).chain(previous.ephemeral_container_statuses.iter().flatten()).find(|status| status.name == name)
}

/// What the API knew about this very instance, from before a restart of the kubelet.
pub(crate) fn adopted<'a>(previous: &'a PodStatus, name: &str, id: &str) -> Option<&'a ContainerStatus> {
    old_status(previous, name).filter(|old| old.container_id.as_deref() == Some(container_id(id).as_str()))
}

/// The restart count of a container that once ran and that the runtime has lost.
pub(crate) fn lost_restarts(previous: &PodStatus, name: &str) -> Option<u32> {
    let old = old_status(previous, name)?;
    old.container_id.as_ref()?;
    u32::try_from(old.restart_count).ok()
}

/// When the shown reason turns from the error into the back-off, if that is still to come.
pub(crate) fn reason_flip(input: &Input<'_>, name: &str) -> Option<Timestamp> {
    let failure = input.memory.container(name)?.failure.as_ref()?;
    let flips = matches!(failure.kind, FailureKind::ImagePull | FailureKind::Run);
    let flip = failure.at.checked_add(ERROR_SHOWN).ok()?;
    (flips && flip > input.now).then_some(flip)
}

fn waiting(reason: &str, message: Option<String>) -> ApiState {
    ApiState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ApiState::default()
    }
}

fn terminated(container: &Container, exit: &Exit) -> ApiState {
    let reason = match (&exit.reason, exit.exit_code) {
        (Some(reason), _) => reason.as_str(),
        _ if exit.oom_killed => "OOMKilled",
        (None, 0) => "Completed",
        _ => "Error",
    };
    ApiState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(&container.id)),
            exit_code: exit.exit_code,
            finished_at: Some(Time(exit.finished_at)),
            started_at: Some(Time(exit.started_at.unwrap_or(Timestamp::UNIX_EPOCH))),
            reason: Some(reason.to_owned()),
            message: exit.message.clone(),
            signal: None,
        }),
        ..ApiState::default()
    }
}

/// In which of the pod's lists a container stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Init,
    Main,
    Ephemeral,
}

/// The status of one container.
pub(super) fn status(input: &Input<'_>, stage: &Stage, spec: &ContainerSpec, role: Role) -> ContainerStatus {
    let init = role == Role::Init;
    let name = spec.name.as_str();
    let old = old_status(input.previous, name);
    let latest = input.observed.latest(name);
    let ended = ended(input, name);
    let mut status = ContainerStatus {
        name: name.to_owned(),
        image: spec.image.clone().unwrap_or_default(),
        started: (role != Role::Ephemeral).then_some(false),
        ..ContainerStatus::default()
    };
    if let Some(latest) = latest {
        status.container_id = Some(container_id(&latest.id));
        status.image_id = latest.image_id.clone();
        status.restart_count = i32::try_from(latest.attempt).unwrap_or(i32::MAX);
        status.last_state = last_state(input, latest, old);
    } else if let Some(old) = old {
        status.restart_count = old.restart_count;
        status.last_state = old.last_state.clone();
    }
    status.state = Some(match (latest, ended) {
        (Some(latest), Some(ended)) => terminated(latest, ended),
        (Some(Container { state: ContainerState::Running { started_at }, .. }), None) => ApiState {
            running: Some(ContainerStateRunning { started_at: Some(Time(*started_at)) }),
            ..ApiState::default()
        },
        (None, _) if lost_restarts(input.previous, name).is_some() => {
            // What is never started again is not waited for.
            let again = *stage == Stage::Running && role != Role::Ephemeral;
            lost(input, again, old, &mut status)
        }
        _ => waiting(default_reason(input, init), None),
    });
    if let Some(instance) = latest.filter(|latest| latest.is_running()) {
        describe(spec, &mut status);
        if role != Role::Ephemeral {
            tell_health(input, spec, instance, &mut status);
        }
    } else if init && !is_sidecar(spec) {
        status.ready = ended.is_some_and(|ended| ended.exit_code == 0);
    }
    let is_over = role == Role::Ephemeral && latest.is_none() && lost_restarts(input.previous, name).is_some();
    if *stage == Stage::Running && !latest.is_some_and(Container::is_running) && !is_over {
        explain_waiting(input, spec, init, ended, &mut status);
    }
    status
}

fn default_reason(input: &Input<'_>, init: bool) -> &'static str {
    let inits = input.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    if init || !inits.is_empty() { "PodInitializing" } else { "ContainerCreating" }
}

/// The container ran once and the runtime has no trace of it: its end is unknown.
fn lost(input: &Input<'_>, again: bool, old: Option<&ContainerStatus>, status: &mut ContainerStatus) -> ApiState {
    let known_end = old.and_then(|old| old.state.clone()).filter(|state| state.terminated.is_some());
    let end = known_end.unwrap_or_else(|| ApiState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The container could not be located when the pod was terminated".to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ApiState::default()
    });
    status.container_id = old.and_then(|old| old.container_id.clone());
    status.image_id = old.map(|old| old.image_id.clone()).unwrap_or_default();
    if again {
        status.last_state = Some(end);
        return waiting(default_reason(input, false), None);
    }
    end
}

fn last_state(input: &Input<'_>, latest: &Container, old: Option<&ContainerStatus>) -> Option<ApiState> {
    if let Some(previous) = input.observed.previous(&latest.name) {
        return previous.exit().map(|exit| terminated(previous, exit));
    }
    let old = old?;
    let same = old.container_id.as_deref() == Some(container_id(&latest.id).as_str());
    let end = if same { None } else { old.state.clone().filter(|state| state.terminated.is_some()) };
    end.or_else(|| old.last_state.clone())
}

fn tell_health(input: &Input<'_>, spec: &ContainerSpec, instance: &Container, status: &mut ContainerStatus) {
    let started = has_started(input, spec, instance);
    status.started = Some(started);
    let probed = input.memory.probes(&spec.name, &instance.id).and_then(|probes| probes.readiness);
    status.ready = started
        && match (&spec.readiness_probe, probed) {
            (None, _) => true,
            (Some(_), Some(ready)) => ready,
            (Some(_), None) => adopted(input.previous, &spec.name, &instance.id).is_some_and(|old| old.ready),
        };
}

/// What a running container has got.
fn describe(spec: &ContainerSpec, status: &mut ContainerStatus) {
    status.resources = Some(spec.resources.clone().unwrap_or_default());
    status.allocated_resources = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.clone())
        .filter(|requests: &BTreeMap<_, _>| !requests.is_empty());
    let mounts: Vec<VolumeMountStatus> = spec
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only.filter(|read_only| *read_only),
            recursive_read_only: mount.read_only.filter(|read_only| *read_only).map(|_| "Disabled".to_owned()),
            ..VolumeMountStatus::default()
        })
        .collect();
    status.volume_mounts = Some(mounts).filter(|mounts| !mounts.is_empty());
}

/// Replaces the state of a container that should run and does not by the reason it waits for.
fn explain_waiting(
    input: &Input<'_>,
    spec: &ContainerSpec,
    init: bool,
    ended: Option<&Exit>,
    status: &mut ContainerStatus,
) {
    let again = ended.is_none_or(|ended| restarts(input.pod, spec, init, ended.exit_code));
    if !again {
        return;
    }
    let failure = input.memory.container(&spec.name).and_then(|memory| memory.failure.as_ref());
    let backing_off = match gate(input, &spec.name) {
        Gate::At(due) => Some(due),
        Gate::Now { .. } => None,
    };
    let state = match failure {
        Some(failure) if !failure.kind.counts_as_attempt() || shown(input, failure) => {
            Some(failure_state(input, spec, failure))
        }
        _ => ended.filter(|_| backing_off.is_some()).map(|_| crash_loop(input, spec)),
    };
    if let Some(state) = state {
        if let Some(end) = status.state.take().filter(|state| state.terminated.is_some()) {
            status.last_state = Some(end);
        }
        status.state = Some(state);
    }
}

fn shown(input: &Input<'_>, failure: &StartFailure) -> bool {
    failure.at.checked_add(ERROR_SHOWN).is_ok_and(|until| until > input.now)
}

fn failure_state(input: &Input<'_>, spec: &ContainerSpec, failure: &StartFailure) -> ApiState {
    if failure.kind == FailureKind::ImagePull && !shown(input, failure) {
        let image = spec.image.as_deref().unwrap_or_default();
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {}", failure.message);
        return waiting("ImagePullBackOff", Some(message));
    }
    waiting(failure.kind.reason(), Some(failure.message.clone()))
}

fn crash_loop(input: &Input<'_>, spec: &ContainerSpec) -> ApiState {
    let message = crash_loop_message(input, &spec.name);
    waiting("CrashLoopBackOff", Some(message))
}

/// `back-off 10s restarting failed container=c pod=p_ns(uid)`.
pub(crate) fn crash_loop_message(input: &Input<'_>, name: &str) -> String {
    let delay = input.memory.container(name).map_or(SignedDuration::ZERO, |memory| memory.restarts.delay());
    let metadata = &input.pod.metadata;
    format!(
        "back-off {} restarting failed container={name} pod={}_{}({})",
        go_duration(delay),
        metadata.name.as_deref().unwrap_or_default(),
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.uid.as_deref().unwrap_or_default(),
    )
}
