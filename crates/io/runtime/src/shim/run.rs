//! The life of a container, from its shim's point of view: start, serve, end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use minato_linux::cgroup::{Cgroup, Hierarchies};
use minato_linux::{memory, process};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::log::{Log, Stream};
use super::output::Source;
use super::serve::{Answer, Server};
use super::start::{KILL_TIMEOUT, Output, Running, start};
use super::{Failure, control_socket};
use crate::bundle::{Bundle, ContainerDirectory, Exit, Started};
use crate::protocol::{self, Report, Request, Response};

/// As containerd's shims have it: the kernel kills nearly everything else first.
const SHIM_OOM_SCORE: &str = "-998";
/// How long output may still come after every process was killed, from processes elsewhere that hold the pipes.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs the container of `directory` to its end.
pub(super) fn run(directory: PathBuf) -> ExitCode {
    let directory = ContainerDirectory(directory);
    let control = match control_socket() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("minato shim: no control socket on standard input: {error}");
            return ExitCode::FAILURE;
        }
    };
    let container = match Container::start(&directory) {
        Ok(container) => container,
        Err(failure) => {
            let exit = Exit {
                started_at: None,
                finished_at: Timestamp::now(),
                exit_code: super::START_ERROR,
                signal: None,
                oom_killed: false,
                message: Some(failure.message.clone()),
            };
            let _ = directory.write_exit(&exit);
            let _ = protocol::send(&control, &Report::from(failure), &[]);
            return ExitCode::FAILURE;
        }
    };
    // A server that died in the meantime finds the container by its socket.
    let _ = protocol::send(&control, &Report::Started { pid: container.running.pid.as_raw() }, &[]);
    drop(control);
    // Takes a while, so it waits until nobody else does.
    if let Err(error) = container.shim_group.enter_version_2() {
        eprintln!("minato shim: failed to leave the server's cgroup: {error}");
    }
    memory::trim_heap();
    match container.live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minato shim: {}: {error}", directory.path().display());
            ExitCode::FAILURE
        }
    }
}

struct Container {
    directory: ContainerDirectory,
    started_at: Timestamp,
    running: Running,
    stdin: Stdin,
    terminal: Option<OwnedFd>,
    sources: Vec<Source>,
    log: Option<Log>,
    server: Server,
    shim_group: Cgroup,
}

/// The container's standard input, while the shim holds it.
enum Stdin {
    None,
    /// Every client gets a copy.
    Shared(OwnedFd),
    /// The first client gets it, and its end is the end of file.
    Once(Option<OwnedFd>),
}

impl Container {
    fn start(directory: &ContainerDirectory) -> Result<Self, Failure> {
        let bundle = directory.bundle().map_err(Failure::step("read the bundle"))?;
        let hierarchies = Hierarchies::detect().map_err(Failure::step("find cgroups"))?;
        leave_the_server(&bundle, &hierarchies).map_err(Failure::step("leave the server's session and cgroup"))?;
        let log = bundle.log.as_deref().map(Log::open).transpose().map_err(Failure::step("open the log"))?;
        nix::unistd::chdir(directory.path()).map_err(Failure::step("enter the container's directory"))?;
        let server = Server::open().map_err(Failure::step("open the shim's socket"))?;
        let mut running = start(&bundle, directory.path(), &hierarchies)?;
        let started_at = Timestamp::now();
        let stdin = match running.stdin.take() {
            None => Stdin::None,
            Some(stdin) if bundle.config.stdin_once => Stdin::Once(Some(stdin)),
            Some(stdin) => Stdin::Shared(stdin),
        };
        let assemble = || -> io::Result<_> {
            directory.write_started(&Started { at: started_at, pid: running.pid.as_raw() })?;
            let (sources, terminal) = match &running.output {
                Output::Pipes { stdout, stderr } => {
                    let stdout = Source::new(stdout.try_clone()?, Stream::Stdout)?;
                    (vec![stdout, Source::new(stderr.try_clone()?, Stream::Stderr)?], None)
                }
                Output::Terminal(terminal) => {
                    (vec![Source::new(terminal.try_clone()?, Stream::Stdout)?], Some(terminal.try_clone()?))
                }
            };
            Ok((sources, terminal))
        };
        match assemble() {
            Ok((sources, terminal)) => {
                let directory = directory.clone();
                let shim_group = hierarchies.group(&bundle.shim_cgroup);
                Ok(Self { directory, started_at, running, stdin, terminal, sources, log, server, shim_group })
            }
            Err(error) => {
                let _ = running.group.kill(KILL_TIMEOUT);
                let _ = waitpid(running.pid, None);
                let _ = running.group.remove();
                Err(Failure::step("set up the shim")(error))
            }
        }
    }

    /// Serves until the init has ended and everything about that is on disk.
    fn live(mut self) -> io::Result<()> {
        let status = loop {
            self.wait(PollTimeout::NONE)?;
            self.pump();
            self.serve();
            if let Some(status) = self.reap()? {
                break status;
            }
        };
        // Without a process namespace the others live on; they are the container's all the same.
        let killed = self.running.group.kill(KILL_TIMEOUT);
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        self.drain()?;
        let oom_killed = self.running.oom.as_ref().is_some_and(|watch| watch.killed());
        let (exit_code, signal) = status;
        self.directory.write_exit(&Exit {
            started_at: Some(self.started_at),
            finished_at: Timestamp::now(),
            exit_code,
            signal,
            oom_killed,
            message: None,
        })?;
        // Whoever watches learns of the end when the shim's sockets close.
        drop(self.server);
        let _ = std::fs::remove_file("shim.sock");
        killed?;
        self.running.group.remove()
    }

    /// Sleeps until something happened.
    fn wait(&self, timeout: PollTimeout) -> io::Result<()> {
        let mut descriptors = vec![
            PollFd::new(self.running.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.server.listener(), PollFlags::POLLIN),
        ];
        descriptors.extend(self.server.clients().map(|client| PollFd::new(client, PollFlags::POLLIN)));
        for source in &self.sources {
            if source.wants_input() {
                descriptors.push(PollFd::new(source.descriptor(), PollFlags::POLLIN));
            }
            descriptors.extend(source.full_pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLOUT)));
        }
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn pump(&mut self) {
        let log = &mut self.log;
        self.sources.retain_mut(|source| {
            let open = source.pump(log.as_mut());
            if !open {
                source.finish(log.as_mut());
            }
            open
        });
    }

    /// Reads what the dead have written.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while !self.sources.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut descriptors: Vec<PollFd<'_>> = Vec::new();
            for source in &self.sources {
                if source.wants_input() {
                    descriptors.push(PollFd::new(source.descriptor(), PollFlags::POLLIN));
                }
                descriptors.extend(source.full_pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLOUT)));
            }
            let milliseconds = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            match poll(&mut descriptors, milliseconds) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.pump();
        }
        for mut source in self.sources.drain(..) {
            source.finish(self.log.as_mut());
        }
        Ok(())
    }

    fn serve(&mut self) {
        let Self { server, running, stdin, terminal, sources, log, .. } = self;
        server.serve(|request| match request {
            Request::Watch => (Response::Done, Vec::new()),
            Request::Signal(signal) => simple(running.pidfd.signal(signal)),
            Request::Kill => {
                for pid in running.group.processes() {
                    let _ = process::kill(pid, nix::libc::SIGKILL);
                }
                simple(running.pidfd.signal(nix::libc::SIGKILL))
            }
            Request::ReopenLog => simple(log.as_mut().map_or(Ok(()), Log::reopen)),
            Request::Attach => attach(stdin, terminal.as_ref(), sources)
                .unwrap_or_else(|error| (Response::Failed(error.to_string()), Vec::new())),
        });
    }

    /// Exit code and signal of the init, if it has ended. Takes other dead children along.
    fn reap(&mut self) -> io::Result<Option<(i32, Option<i32>)>> {
        loop {
            return match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.running.pid => Ok(Some((code, None))),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.running.pid => {
                    Ok(Some((128 + signal as i32, Some(signal as i32))))
                }
                Ok(WaitStatus::StillAlive) => Ok(None),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => Err(errno.into()),
            };
        }
    }
}

/// The server may be killed with its session or its cgroup; the shim must not go with it.
fn leave_the_server(bundle: &Bundle, hierarchies: &Hierarchies) -> io::Result<()> {
    // Fails only if it leads a process group already, which is as good.
    let _ = nix::unistd::setsid();
    let group = hierarchies.group(&bundle.shim_cgroup);
    group.create()?;
    group.enter_version_1()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    nix::unistd::setgroups(&[])?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    // Not allowed in every sandbox, and only a precaution.
    let _ = std::fs::write(Path::new("/proc/self/oom_score_adj"), SHIM_OOM_SCORE);
    Ok(())
}

fn simple(result: io::Result<()>) -> Answer {
    match result {
        Ok(()) => (Response::Done, Vec::new()),
        Err(error) => (Response::Failed(error.to_string()), Vec::new()),
    }
}

fn attach(stdin: &mut Stdin, terminal: Option<&OwnedFd>, sources: &mut [Source]) -> io::Result<Answer> {
    let mut descriptors = Vec::new();
    let input = match (stdin, terminal) {
        (_, Some(terminal)) => Some(terminal.try_clone()?),
        (Stdin::None, None) => None,
        (Stdin::Shared(stdin), None) => Some(stdin.try_clone()?),
        (Stdin::Once(stdin), None) => stdin.take(),
    };
    let mut outputs = sources.iter_mut().map(Source::attach).collect::<io::Result<Vec<_>>>()?;
    let response = Response::Streams {
        stdin: input.is_some(),
        stdout: !outputs.is_empty(),
        stderr: outputs.len() > 1,
        terminal: terminal.is_some(),
    };
    descriptors.extend(input);
    descriptors.append(&mut outputs);
    Ok((response, descriptors))
}
