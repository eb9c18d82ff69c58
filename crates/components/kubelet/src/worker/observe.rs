//! From the runtime's words to the engine's.

use jiff::Timestamp;
use minato_podlife::{Container, ContainerState, Exit, Observed, Sandbox};
use minato_runtime::{self as runtime, ContainerId, ContainerStatus, RuntimeError};

use super::Worker;
use crate::host_files::{termination_message, termination_path};

/// The pod's sandbox as the worker knows it.
#[derive(Default)]
pub(super) struct SandboxView {
    /// The runtime has one, of whatever use.
    pub(super) exists: bool,
    /// Containers can be started in it.
    pub(super) ready: bool,
    /// The pod's addresses.
    pub(super) ips: Vec<String>,
}

/// A container as the worker knows it.
pub(super) struct Known {
    pub(super) status: ContainerStatus,
    /// When it will be killed, if it is being stopped.
    pub(super) stopping: Option<Timestamp>,
    /// Its termination message, read once it has ended.
    message: Option<String>,
    message_read: bool,
}

impl Known {
    pub(super) fn new(status: ContainerStatus) -> Self {
        Self { status, stopping: None, message: None, message_read: false }
    }

    pub(super) fn running_since(&self) -> Option<Timestamp> {
        match self.status.state {
            runtime::ContainerState::Running { started_at, .. } => Some(started_at),
            _ => None,
        }
    }
}

impl Worker {
    /// Asks the runtime about one container.
    pub(super) async fn look_at(&mut self, id: &ContainerId) {
        match self.node.runtime.container(id).await {
            Ok(status) => self.note(status).await,
            Err(RuntimeError::ContainerNotFound(_)) => drop(self.known.remove(id)),
            Err(error) => {
                tracing::warn!(container = %id, error = &error as &dyn std::error::Error, "failed to look at a container");
            }
        }
    }

    /// Takes over what the runtime said about a container.
    pub(super) async fn note(&mut self, status: ContainerStatus) {
        let id = status.id.clone();
        let ended = matches!(status.state, runtime::ContainerState::Exited { .. });
        let known = self.known.entry(id.clone()).or_insert_with(|| Known::new(status.clone()));
        known.status = status;
        if ended && !known.message_read {
            self.read_message(&id).await;
        }
    }

    async fn read_message(&mut self, id: &ContainerId) {
        let Some(known) = self.known.get(id) else { return };
        let status = &known.status;
        let runtime::ContainerState::Exited { exit_code, .. } = status.state else { return };
        let policy = self
            .containers()
            .find(|container| container.name == status.name)
            .and_then(|container| container.termination_message_policy.clone());
        let fall_back = policy.as_deref() == Some("FallbackToLogsOnError") && exit_code != 0;
        let path = termination_path(&self.node.config, &self.uid, &status.name, status.attempt);
        let log = status.log_path.clone();
        let read = tokio::task::spawn_blocking(move || termination_message(&path, log.as_deref(), fall_back));
        let message = read.await.unwrap_or_default();
        if let Some(known) = self.known.get_mut(id) {
            known.message = message;
            known.message_read = true;
        }
    }

    /// The engine's view.
    pub(super) fn observed(&self) -> Observed {
        let sandbox = self.sandbox.exists.then(|| Sandbox {
            id: self.uid.clone(),
            ready: self.sandbox.ready,
            ips: self.sandbox.ips.clone(),
        });
        Observed { sandbox, containers: self.known.values().map(container).collect() }
    }
}

fn container(known: &Known) -> Container {
    let status = &known.status;
    let state = match &status.state {
        runtime::ContainerState::Created => ContainerState::Created,
        runtime::ContainerState::Running { started_at, .. } => ContainerState::Running { started_at: *started_at },
        runtime::ContainerState::Exited { started_at, finished_at, exit_code, oom_killed, message, .. } => {
            let reason = match (message, started_at) {
                (Some(_), None) => Some("StartError".to_owned()),
                (Some(_), Some(_)) => Some("ContainerStatusUnknown".to_owned()),
                (None, _) => None,
            };
            ContainerState::Exited(Exit {
                started_at: *started_at,
                finished_at: *finished_at,
                exit_code: *exit_code,
                oom_killed: *oom_killed,
                message: message.clone().or_else(|| known.message.clone()),
                reason,
            })
        }
    };
    Container {
        id: status.id.0.clone(),
        name: status.name.clone(),
        attempt: status.attempt,
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        state,
        stopping: known.stopping,
    }
}
