//! Commands in running containers.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::link::Link;
use super::stream::{self, Terminal};
use super::{Embedded, lock};
use crate::container::Resizer;
use crate::protocol::{ExecOrder, Report, Request};
use crate::{ContainerId, ExecOutput, ExecRequest, ExecSession, ExitCode, Output, RuntimeError};

/// What `exec_sync` keeps of each stream.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How long output may come after the command has ended, from children that hold its pipes.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a killed command may take to die.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// The code of a command that was killed along with its container.
const KILLED: i32 = 137;

/// The server's ends of a command's streams.
#[derive(Default)]
struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Embedded {
    pub(super) async fn run_command(
        &self,
        id: &ContainerId,
        request: ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        let container = self.find(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        let shim_error = |error: io::Error| RuntimeError::Shim { id: id.clone(), message: format!("exec: {error}") };
        let (link, theirs) = Link::pair().map_err(shim_error)?;
        let (ours, child_streams) = streams(&request).map_err(shim_error)?;
        // Without a directory of its own the child needs no fork, which copies the server's page tables (posix_spawn).
        let child = Command::new(&self.inner.config.shim)
            .args(["shim", "exec"])
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        drop(child.map_err(shim_error)?);
        let order = ExecOrder {
            container: self.inner.config.container(id).path().to_owned(),
            command: request.command,
            terminal: request.tty,
        };
        let raw: Vec<_> = child_streams.iter().map(|stream| stream.as_raw_fd()).collect();
        link.send(&order, &raw).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => RuntimeError::InvalidConfig("the command is too long".to_owned()),
            _ => shim_error(error),
        })?;
        drop(child_streams);
        let mut terminal = match link.receive::<Report>().await.map_err(shim_error)? {
            Some((Report::Started { .. }, descriptors)) => descriptors,
            Some((Report::Failed { message, exit_code }, _)) => {
                return Err(RuntimeError::Exec { message: format!("exec failed: {message}"), exit_code });
            }
            // It died with the container.
            _ => return Err(RuntimeError::NotRunning(id.clone())),
        };
        let exit_code = exit_code(link);
        if let Some(terminal) = terminal.pop() {
            let resizer = Resizer(Arc::new(terminal.try_clone().map_err(shim_error)?));
            let terminal = Terminal::new(terminal).map_err(shim_error)?;
            return Ok(ExecSession {
                stdin: request.stdin.then(|| Box::pin(terminal.clone()) as crate::Input),
                stdout: request.stdout.then(|| Box::pin(terminal) as Output),
                stderr: None,
                resizer: Some(resizer),
                exit_code,
            });
        }
        Ok(ExecSession {
            stdin: ours.stdin.map(stream::input).transpose().map_err(shim_error)?,
            stdout: ours.stdout.map(stream::output).transpose().map_err(shim_error)?,
            stderr: ours.stderr.map(stream::output).transpose().map_err(shim_error)?,
            resizer: None,
            exit_code,
        })
    }

    pub(super) async fn run_command_to_its_end(
        &self,
        id: &ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput, RuntimeError> {
        let timed_out = RuntimeError::ExecTimeout { command: command.clone(), timeout };
        let request = ExecRequest { command, stdout: true, stderr: true, ..Default::default() };
        let deadline = tokio::time::Instant::now() + timeout;
        let mut session = self.run_command(id, request).await?;
        let stdout = Collected::start(session.stdout.take());
        let stderr = Collected::start(session.stderr.take());
        let ended = tokio::time::timeout_at(deadline, &mut session.exit_code).await;
        let Ok(exit_code) = ended else {
            session.exit_code.kill();
            // Its end is awaited, so that the caller may rely on it; a process the kernel holds is not waited for long.
            let _ = tokio::time::timeout(KILL_TIMEOUT, &mut session.exit_code).await;
            return Err(timed_out);
        };
        let (stdout, stderr) = tokio::join!(stdout.finish(), stderr.finish());
        Ok(ExecOutput { exit_code: exit_code?, stdout, stderr })
    }
}

/// Pipes for what is wanted, `/dev/null` for the rest; the child's ends in the order of their numbers.
fn streams(request: &ExecRequest) -> io::Result<(Streams, Vec<OwnedFd>)> {
    let mut ours = Streams::default();
    if request.tty {
        return Ok((ours, Vec::new()));
    }
    let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let mut theirs = Vec::new();
    if request.stdin {
        let (reader, writer) = io::pipe()?;
        ours.stdin = Some(writer.into());
        theirs.push(reader.into());
    } else {
        theirs.push(null()?);
    }
    for (wanted, slot) in [(request.stdout, &mut ours.stdout), (request.stderr, &mut ours.stderr)] {
        if wanted {
            let (reader, writer) = io::pipe()?;
            *slot = Some(reader.into());
            theirs.push(writer.into());
        } else {
            theirs.push(null()?);
        }
    }
    Ok((ours, theirs))
}

/// Awaits the report of a command's end on a task, which also passes on the wish to kill it.
fn exit_code(link: Link) -> ExitCode {
    let (kill, killed) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let report = async |link: &Link| match link.receive::<Report>().await {
            Ok(Some((Report::Exited { exit_code }, _))) => exit_code,
            // The shim of the command was killed with the container.
            _ => KILLED,
        };
        tokio::select! {
            code = report(&link) => return code,
            Ok(()) = killed => {}
        }
        let _ = link.send(&Request::Kill, &[]).await;
        report(&link).await
    });
    ExitCode { task, kill: Some(kill) }
}

/// What a command has printed so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Collected {
    fn start(stream: Option<Output>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let task = stream.map(|mut stream| {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 << 10];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let mut bytes = lock(&bytes);
                    // What is beyond is read, so that the command does not wait, and thrown away.
                    let room = OUTPUT_BYTES_MAX.saturating_sub(bytes.len());
                    bytes.extend_from_slice(&buffer[..length.min(room)]);
                }
            })
        });
        Self { bytes, task }
    }

    /// Everything until the end of the stream, or what came until now if something still holds it open.
    async fn finish(mut self) -> Vec<u8> {
        if let Some(task) = &mut self.task {
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, task).await;
        }
        std::mem::take(&mut *lock(&self.bytes))
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
