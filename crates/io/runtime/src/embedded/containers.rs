//! Containers while they run, and until they are removed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Command;
use tokio::sync::watch;

use super::link::Link;
use super::sandboxes::{KILL_TIMEOUT, chain};
use super::{Embedded, blocking, file, lock, stream, system};
use crate::bundle::{Bundle, Exit};
use crate::container::Resizer;
use crate::protocol::{Report, Request, Response};
use crate::{AttachSession, ContainerEvent, ContainerId, ContainerState, ContainerStatus, Resources, RuntimeError};

/// A container the server knows.
pub(super) struct Container {
    bundle: Mutex<Arc<Bundle>>,
    state: watch::Sender<ContainerState>,
    /// Held while the container is started or removed: one at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Container {
    pub(super) fn new(bundle: Bundle, state: ContainerState) -> Self {
        Self { bundle: Mutex::new(Arc::new(bundle)), state: watch::Sender::new(state), turn: Default::default() }
    }

    pub(super) fn bundle(&self) -> Arc<Bundle> {
        lock(&self.bundle).clone()
    }

    fn state(&self) -> ContainerState {
        self.state.borrow().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), ContainerState::Running { .. })
    }

    pub(super) fn set(&self, state: ContainerState) {
        self.state.send_replace(state);
    }

    async fn exited(&self) {
        let mut state = self.state.subscribe();
        // The sender is ours, so it cannot be gone.
        let _ = state.wait_for(|state| matches!(state, ContainerState::Exited { .. })).await;
    }

    pub(super) fn status(&self) -> ContainerStatus {
        let bundle = self.bundle();
        ContainerStatus {
            id: ContainerId(bundle.id.clone()),
            sandbox: bundle.sandbox.clone(),
            name: bundle.config.name.clone(),
            attempt: bundle.config.attempt,
            image: bundle.config.image.clone(),
            image_id: bundle.image_id.clone(),
            log_path: bundle.log.clone(),
            resources: bundle.config.resources.clone(),
            labels: bundle.config.labels.clone(),
            created_at: bundle.created_at,
            state: self.state(),
        }
    }
}

impl From<Exit> for ContainerState {
    fn from(exit: Exit) -> Self {
        let Exit { started_at, finished_at, exit_code, signal, oom_killed, message } = exit;
        Self::Exited { started_at, finished_at, exit_code, signal, oom_killed, message }
    }
}

/// A machine under load may take its time to start a process.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const LOST_EXIT_CODE: i32 = 255;

impl Embedded {
    pub(super) async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let container = self.find(id)?;
        let _turn = container.turn.lock().await;
        if container.state() != ContainerState::Created {
            return Err(RuntimeError::InvalidConfig(format!("container {id} was started before")));
        }
        let directory = self.inner.config.container(id);
        let shim_error =
            |what: &str, error: io::Error| RuntimeError::Shim { id: id.clone(), message: format!("{what}: {error}") };
        let (link, theirs) = Link::pair().map_err(|error| shim_error("make a socket", error))?;
        let errors = fs::File::create(directory.path().join("shim.log"))
            .map_err(file("create", directory.path().join("shim.log")))?;
        // Without a directory of its own the child needs no fork, which copies the server's page tables (posix_spawn).
        let child = Command::new(&self.inner.config.shim)
            .args(["shim".as_ref(), "run".as_ref(), directory.path().as_os_str()])
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        // Dropped here: the process goes on, and tokio takes its exit status.
        drop(child.map_err(|error| shim_error("start it", error))?);
        let report = match tokio::time::timeout(START_TIMEOUT, link.receive::<Report>()).await {
            Ok(report) => report.map_err(|error| shim_error("hear from it", error))?,
            Err(_) => {
                self.lose(id, &container, "the shim did not start the container in time").await;
                return Err(RuntimeError::Shim { id: id.clone(), message: format!("no word after {START_TIMEOUT:?}") });
            }
        };
        match report {
            Some((Report::Started { pid }, _)) => {
                let started_at = directory.started().ok().flatten().map_or_else(Timestamp::now, |started| started.at);
                container.set(ContainerState::Running { started_at, pid });
                self.watch(id.clone(), container.clone());
                Ok(())
            }
            Some((Report::Failed { message, exit_code }, _)) => {
                let exit = directory.exit().ok().flatten().unwrap_or_else(|| lost(&message));
                container.set(exit.into());
                Err(RuntimeError::Start { message: format!("failed to start container: {message}"), exit_code })
            }
            other => {
                let log = fs::read_to_string(directory.path().join("shim.log")).unwrap_or_default();
                let message = match other {
                    Some((report, _)) => format!("unexpected report {report:?}"),
                    None => format!("it ended early: {}", log.trim()),
                };
                self.lose(id, &container, &message).await;
                Err(RuntimeError::Shim { id: id.clone(), message })
            }
        }
    }

    /// Learns of the container's exit from its shim's hanging up, at once.
    pub(super) fn watch(&self, id: ContainerId, container: Arc<Container>) {
        let runtime = self.clone();
        tokio::spawn(async move {
            let directory = runtime.inner.config.container(&id);
            // If the connection is refused, the container has ended already, or its shim was killed.
            if let Ok(link) = Link::connect(directory.path()) {
                let asked = link.send(&Request::Watch, &[]).await;
                // The shim answers when the command runs; a server that was restarted meanwhile does not know the pid.
                if asked.is_ok()
                    && matches!(link.receive::<Response>().await, Ok(Some(_)))
                    && let Ok(Some(started)) = directory.started()
                {
                    container.set(ContainerState::Running { started_at: started.at, pid: started.pid });
                }
                while asked.is_ok() && matches!(link.receive::<Response>().await, Ok(Some(_))) {}
            }
            match directory.exit() {
                Ok(Some(exit)) => container.set(exit.into()),
                Ok(None) => runtime.lose(&id, &container, "the container's shim was killed").await,
                Err(error) => runtime.lose(&id, &container, &format!("its exit file is damaged: {error}")).await,
            }
            let sandbox = container.bundle().sandbox.clone();
            // Nobody listening is fine.
            let _ = runtime.inner.events.send(ContainerEvent::Exited { id, sandbox });
        });
    }

    /// A container whose shim is gone: whatever is left of it is killed, and it counts as exited.
    pub(super) async fn lose(&self, id: &ContainerId, container: &Container, message: &str) {
        tracing::warn!(container = %id, error = message, "container lost");
        let group = self.group(&container.bundle().cgroup);
        let (directory, exit) = (self.inner.config.container(id), lost(message));
        let written = exit.clone();
        let cleaned = blocking(move || {
            group
                .kill(KILL_TIMEOUT)
                .and_then(|()| group.remove())
                .map_err(|error| system("clear the cgroup", error))?;
            directory.write_exit(&written).map_err(file("write", directory.path().join("exit")))
        });
        if let Err(error) = cleaned.await {
            tracing::warn!(container = %id, error = chain(&error), "lost container not cleaned up");
        }
        container.set(exit.into());
    }

    pub(super) async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let Ok(container) = self.find(id) else { return Ok(()) };
        {
            // A container that is being started is stopped afterwards.
            let _turn = container.turn.lock().await;
            if !container.is_running() {
                return Ok(());
            }
        }
        if !grace.is_zero() {
            self.signal_running(id, &container, container.bundle().stop_signal).await?;
            if tokio::time::timeout(grace, container.exited()).await.is_ok() {
                return Ok(());
            }
        }
        self.kill(id, &container).await
    }

    async fn kill(&self, id: &ContainerId, container: &Container) -> Result<(), RuntimeError> {
        match self.ask_shim(id, Request::Kill).await {
            Ok(_) | Err(RuntimeError::NotRunning(_)) => {}
            Err(error) => return Err(error),
        }
        tokio::time::timeout(KILL_TIMEOUT, container.exited())
            .await
            .map_err(|_| RuntimeError::Unkillable { id: id.clone(), waited: KILL_TIMEOUT })
    }

    /// Sends a signal to the container's init; one that has just ended is no error.
    async fn signal_running(&self, id: &ContainerId, container: &Container, signal: i32) -> Result<(), RuntimeError> {
        match self.ask_shim(id, Request::Signal(signal)).await {
            Ok((Response::Failed(message), _)) if container.is_running() => {
                Err(RuntimeError::Shim { id: id.clone(), message })
            }
            Ok(_) | Err(RuntimeError::NotRunning(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn send_signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let container = self.find(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        self.signal_running(id, &container, signal).await
    }

    /// One question and its answer. [`RuntimeError::NotRunning`] when the shim is gone.
    pub(super) async fn ask_shim(
        &self,
        id: &ContainerId,
        request: Request,
    ) -> Result<(Response, Vec<OwnedFd>), RuntimeError> {
        if !self.find(id)?.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        let directory = self.inner.config.container(id);
        let ask = async {
            let link = Link::connect(directory.path())?;
            link.send(&request, &[]).await?;
            link.receive::<Response>().await
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            // It hangs up when the container has ended.
            Ok(Ok(None)) => Err(RuntimeError::NotRunning(id.clone())),
            Ok(Err(error)) => match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset => Err(RuntimeError::NotRunning(id.clone())),
                _ => Err(RuntimeError::Shim { id: id.clone(), message: error.to_string() }),
            },
            Err(_) => {
                Err(RuntimeError::Shim { id: id.clone(), message: format!("no answer after {ANSWER_TIMEOUT:?}") })
            }
        }
    }

    pub(super) async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(container) = self.find(id) else { return Ok(()) };
        let _turn = container.turn.lock().await;
        if container.is_running() {
            self.kill(id, &container).await?;
        }
        let (runtime, id, bundle) = (self.clone(), id.clone(), container.bundle());
        blocking(move || {
            let group = runtime.group(&bundle.cgroup);
            let directory = runtime.inner.config.container(&id);
            let steps = [
                group.kill(KILL_TIMEOUT).map_err(|error| error.to_string()),
                group.remove().map_err(|error| format!("cgroup {}: {error}", bundle.cgroup)),
                super::recovery::remove_directory(directory.path()).map_err(|error| chain(&error)),
                runtime.inner.config.images.release(&bundle.image_id, &id.0).map_err(|error| chain(&error)),
            ];
            let errors: Vec<String> = steps.into_iter().filter_map(Result::err).collect();
            if !errors.is_empty() {
                return Err(RuntimeError::CleanUp { what: format!("container {id}"), errors });
            }
            lock(&runtime.inner.containers).remove(&id);
            Ok(())
        })
        .await
    }

    /// Blocks.
    pub(super) fn change_limits(&self, id: &ContainerId, change: &Resources) -> Result<(), RuntimeError> {
        let container = self.find(id)?;
        let mut bundle = (*container.bundle()).clone();
        let resources = &mut bundle.config.resources;
        macro_rules! take {
            ($($field:ident)*) => { $(if change.$field.is_some() { resources.$field = change.$field.clone(); })* };
        }
        take!(cpu_shares cpu_quota cpu_period memory_limit_bytes oom_score_adj pids_limit cpuset_cpus);
        resources.hugepage_limits.extend(change.hugepage_limits.clone());
        if container.is_running() {
            let limits = change.limits();
            let limited = self.group(&bundle.cgroup).limit(&limits);
            limited.map_err(|error| system(format!("limit container {id}"), io::Error::other(error)))?;
        }
        let directory = self.inner.config.container(id);
        directory.write_bundle(&bundle).map_err(file("write", directory.path().join("config.json")))?;
        *lock(&container.bundle) = Arc::new(bundle);
        Ok(())
    }

    pub(super) async fn attach_to(&self, id: &ContainerId) -> Result<AttachSession, RuntimeError> {
        let shim_error = |message: String| RuntimeError::Shim { id: id.clone(), message };
        let (response, descriptors) = self.ask_shim(id, Request::Attach).await?;
        let Response::Streams { stdin, stdout, stderr, terminal } = response else {
            return Err(shim_error(format!("unexpected answer {response:?}")));
        };
        let mut descriptors = descriptors.into_iter();
        let mut take = |present: bool| if present { descriptors.next() } else { None };
        let (stdin, stdout, stderr) = (take(stdin), take(stdout), take(stderr));
        let connect = || -> io::Result<AttachSession> {
            let stdout = stdout.map(stream::output).transpose()?;
            let stderr = stderr.map(stream::output).transpose()?;
            if terminal {
                let Some(input) = stdin else { return Err(io::ErrorKind::UnexpectedEof.into()) };
                let resizer = Resizer(Arc::new(input.try_clone()?));
                let input = stream::Terminal::new(input)?;
                return Ok(AttachSession { stdin: Some(Box::pin(input)), stdout, stderr, resizer: Some(resizer) });
            }
            let stdin = stdin.map(stream::input).transpose()?;
            Ok(AttachSession { stdin, stdout, stderr, resizer: None })
        };
        connect().map_err(|error| shim_error(error.to_string()))
    }
}

/// How a container ended that nobody saw end.
pub(super) fn lost(message: &str) -> Exit {
    Exit {
        started_at: None,
        finished_at: Timestamp::now(),
        exit_code: LOST_EXIT_CODE,
        signal: None,
        oom_killed: false,
        message: Some(message.to_owned()),
    }
}
