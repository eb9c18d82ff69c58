//! The seam between the kubelet and whatever runs containers.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::sync::broadcast;

use crate::{
    AttachSession, ContainerConfig, ContainerEvent, ContainerId, ContainerStatus, DiskUsage, ExecOutput, ExecRequest,
    ExecSession, Resources, RuntimeError, RuntimeUsage, Sandbox, SandboxConfig, SandboxId, SandboxStatus,
};

/// What the kubelet asks of a container runtime; shaped like CRI.
///
/// Stop and remove are idempotent: what does not exist any more is not an error. Everything else reports
/// [`RuntimeError::SandboxNotFound`] or [`RuntimeError::ContainerNotFound`] for an unknown id.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Creates the namespaces and the cgroup of a pod. Idempotent: the same pod `uid` gives the same sandbox.
    async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, RuntimeError>;

    /// Kills whatever still runs in the sandbox. Its namespaces stay until it is removed, so that the pod network can
    /// be detached in between.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// Stops the sandbox, removes its containers, its namespaces and its cgroup.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// All sandboxes, also those from before a restart.
    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError>;

    /// Prepares a container: checks the image, the user, the mounts, and writes its bundle. No process runs yet.
    async fn create_container(&self, sandbox: &SandboxId, config: ContainerConfig)
    -> Result<ContainerId, RuntimeError>;

    /// Runs the container's command. On [`RuntimeError::Start`] the container is left in the exited state with the
    /// same code and message.
    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends the stop signal, waits up to `grace`, then kills every process of the container. Returns after its exit.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// Sends `signal` to the container's init process.
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// Kills the container if it runs and removes everything of it, except its log file.
    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// All containers, also those from before a restart.
    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeError>;

    /// One container.
    async fn container(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError>;

    /// Changes the limits of a container; what is `None` stays.
    async fn update_resources(&self, id: &ContainerId, resources: Resources) -> Result<(), RuntimeError>;

    /// Runs a command inside a running container, its streams connected to the returned session.
    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecSession, RuntimeError>;

    /// Runs a command inside a running container and collects its output (the last 16 KiB of each stream are enough
    /// for probes; up to 16 MiB are kept). On [`RuntimeError::ExecTimeout`] the command and its children are dead.
    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError>;

    /// Connects to the streams of a running container's main process.
    async fn attach(&self, id: &ContainerId) -> Result<AttachSession, RuntimeError>;

    /// Has the container's log file opened anew, after it was renamed by log rotation.
    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// What all sandboxes and running containers use now. What ends meanwhile is left out.
    async fn usage(&self) -> Result<RuntimeUsage, RuntimeError>;

    /// What all containers wrote to their roots, found by walking through it.
    async fn writable_layers(&self) -> Result<BTreeMap<ContainerId, DiskUsage>, RuntimeError>;

    /// Exits of containers, as they happen. A receiver that lags should look at [`Runtime::containers`].
    fn events(&self) -> broadcast::Receiver<ContainerEvent>;
}
