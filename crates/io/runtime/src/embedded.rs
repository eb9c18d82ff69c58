//! The built-in runtime: sandboxes and containers on this machine, without any other daemon.

mod containers;
mod create;
mod exec;
mod link;
mod recovery;
mod sandboxes;
mod stream;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use minato_images::Store;
use minato_linux::cgroup::{Cgroup, Hierarchies};
use nix::sys::signal::Signal;
use tokio::sync::broadcast;

pub use recovery::teardown;

use crate::bundle::ContainerDirectory;
use crate::{
    AttachSession, ContainerConfig, ContainerEvent, ContainerId, ContainerStatus, DiskUsage, ExecOutput, ExecRequest,
    ExecSession, Resources, Runtime, RuntimeError, RuntimeUsage, Sandbox, SandboxConfig, SandboxId, SandboxStatus,
};
use containers::Container;

/// Where the runtime lives.
#[derive(Clone, Debug)]
pub struct Config {
    /// Eight hexadecimal digits, the same for the life of a data directory. All cgroups are below
    /// `/minato-<cluster_id>`.
    pub cluster_id: String,
    /// `<data-dir>/node`: has `pods` and `containers`.
    pub directory: PathBuf,
    /// Where images come from.
    pub images: Store,
    /// The program that is run as `<shim> shim …`, and calls [`crate::shim::main`] then.
    pub shim: PathBuf,
}

impl Config {
    /// With this very program as shim, also after its file was replaced.
    #[must_use]
    pub fn new(cluster_id: impl Into<String>, directory: impl Into<PathBuf>, images: Store) -> Self {
        Self { cluster_id: cluster_id.into(), directory: directory.into(), images, shim: "/proc/self/exe".into() }
    }

    /// The cgroup above everything of this cluster.
    #[must_use]
    pub fn cgroup_root(&self) -> String {
        format!("/minato-{}", self.cluster_id)
    }

    fn shim_cgroup(&self) -> String {
        format!("{}/shims", self.cgroup_root())
    }

    fn pods(&self) -> PathBuf {
        self.directory.join("pods")
    }

    fn containers(&self) -> PathBuf {
        self.directory.join("containers")
    }

    fn container(&self, id: &ContainerId) -> ContainerDirectory {
        ContainerDirectory(self.containers().join(&id.0))
    }
}

/// Most exits that a slow receiver of [`Runtime::events`] may be behind before it misses some.
const EVENTS_MAX: usize = 4096;

/// The built-in [`Runtime`]. Cheap to clone. Dropping it ends nothing: containers belong to their shims.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    hierarchies: Hierarchies,
    sandboxes: Mutex<BTreeMap<SandboxId, SandboxStatus>>,
    containers: Mutex<BTreeMap<ContainerId, Arc<Container>>>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Embedded {
    /// Opens the runtime: finds the sandboxes and containers that are there, attaches to their shims, and removes what
    /// a crash left half made. Starts and stops nothing.
    ///
    /// # Errors
    /// When the directory cannot be used or the machine has no cgroups. A damaged container or sandbox is logged and
    /// removed.
    pub async fn open(config: Config) -> Result<Self, RuntimeError> {
        let hierarchies = Hierarchies::detect()
            .map_err(|error| system("find the cgroup hierarchies", std::io::Error::other(error)))?;
        let runtime = Self {
            inner: Arc::new(Inner {
                config,
                hierarchies,
                sandboxes: Mutex::default(),
                containers: Mutex::default(),
                events: broadcast::channel(EVENTS_MAX).0,
            }),
        };
        runtime.recover().await?;
        Ok(runtime)
    }

    /// What the runtime was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The cgroup of a container, for statistics.
    ///
    /// # Errors
    /// [`RuntimeError::ContainerNotFound`]
    pub fn cgroup(&self, id: &ContainerId) -> Result<Cgroup, RuntimeError> {
        Ok(self.group(&self.find(id)?.bundle().cgroup))
    }

    fn group(&self, path: &str) -> Cgroup {
        self.inner.hierarchies.group(path)
    }

    fn find(&self, id: &ContainerId) -> Result<Arc<Container>, RuntimeError> {
        lock(&self.inner.containers).get(id).cloned().ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))
    }

    fn find_sandbox(&self, id: &SandboxId) -> Result<SandboxStatus, RuntimeError> {
        lock(&self.inner.sandboxes).get(id).cloned().ok_or_else(|| RuntimeError::SandboxNotFound(id.clone()))
    }
}

/// Runs `work` on a thread that may block. It goes on even if the caller loses interest, so what it began is whole.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(system("finish blocking work", std::io::Error::other(error))),
    }
}

/// Runs `work` as a task of its own: it goes on even if the caller loses interest.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, RuntimeError>> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(system("finish a task", std::io::Error::other(error))),
    }
}

fn system(what: impl Into<String>, source: std::io::Error) -> RuntimeError {
    RuntimeError::System { what: what.into(), source }
}

fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> RuntimeError {
    let path = path.into();
    move |source| RuntimeError::File { what, path, source }
}

/// A panic while the lock was held left a map that is still whole: every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Runtime for Embedded {
    async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox, RuntimeError> {
        let runtime = self.clone();
        blocking(move || runtime.make_sandbox(config)).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.stop_containers_of(id).await?;
        let (runtime, id) = (self.clone(), id.clone());
        blocking(move || runtime.release_processes(&id)).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.clone(), id.clone());
        to_its_end(async move { runtime.take_down_sandbox(&id).await }).await
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        Ok(lock(&self.inner.sandboxes).values().cloned().collect())
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: ContainerConfig,
    ) -> Result<ContainerId, RuntimeError> {
        let (runtime, sandbox) = (self.clone(), sandbox.clone());
        blocking(move || runtime.make_container(&sandbox, config)).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.clone(), id.clone());
        to_its_end(async move { runtime.start(&id).await }).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.clone(), id.clone());
        to_its_end(async move { runtime.stop(&id, grace).await }).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.send_signal(id, signal as i32).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.clone(), id.clone());
        to_its_end(async move { runtime.remove(&id).await }).await
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(lock(&self.inner.containers).values().map(|container| container.status()).collect())
    }

    async fn container(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        Ok(self.find(id)?.status())
    }

    async fn update_resources(&self, id: &ContainerId, resources: Resources) -> Result<(), RuntimeError> {
        let (runtime, id) = (self.clone(), id.clone());
        blocking(move || runtime.change_limits(&id, &resources)).await
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecSession, RuntimeError> {
        self.run_command(id, request).await
    }

    async fn exec_sync(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError> {
        self.run_command_to_its_end(id, command, timeout).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<AttachSession, RuntimeError> {
        self.attach_to(id).await
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.ask_shim(id, crate::protocol::Request::ReopenLog).await.map(|_| ())
    }

    async fn usage(&self) -> Result<RuntimeUsage, RuntimeError> {
        let runtime = self.clone();
        blocking(move || Ok(runtime.usage_now())).await
    }

    async fn writable_layers(&self) -> Result<BTreeMap<ContainerId, DiskUsage>, RuntimeError> {
        let runtime = self.clone();
        blocking(move || Ok(runtime.measure_layers())).await
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.inner.events.subscribe()
    }
}
