//! One more command in a running container: `minato shim exec`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use minato_linux::cgroup::{Cgroup, Hierarchies};
use minato_linux::process::{self, PidFd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::init::{self, Stdio};
use super::start::receive_terminal;
use super::{Failure, START_ERROR, command, control_socket};
use crate::bundle::{Bundle, ContainerDirectory, Process};
use crate::protocol::{self, ExecOrder, Report};

/// Takes an order from standard input, runs its command, and reports how it went.
pub(super) fn run() -> ExitCode {
    let Ok(control) = control_socket() else { return ExitCode::FAILURE };
    let Ok(Some((order, streams))) = protocol::receive::<ExecOrder>(&control) else { return ExitCode::FAILURE };
    let report = match start(order, streams) {
        Ok((command, terminal)) => {
            let started = Report::Started { pid: command.pid.as_raw() };
            let terminal: Vec<_> = terminal.iter().map(|terminal| terminal.as_raw_fd()).collect();
            let _ = protocol::send(&control, &started, &terminal);
            match command.wait(&control) {
                Ok(exit_code) => Report::Exited { exit_code },
                Err(error) => Failure::step("wait for the command")(error).into(),
            }
        }
        Err(failure) => failure.into(),
    };
    // Without a server there is nobody to tell.
    let _ = protocol::send(&control, &report, &[]);
    ExitCode::SUCCESS
}

/// A command that runs.
struct Command {
    pid: Pid,
    pidfd: PidFd,
    group: Cgroup,
}

fn start(order: ExecOrder, streams: Vec<OwnedFd>) -> Result<(Command, Option<OwnedFd>), Failure> {
    // As the container's shim does: its own session, so that a signal to the server's does not reach it.
    let _ = nix::unistd::setsid();
    nix::unistd::chdir("/").map_err(Failure::step("leave the server's directory"))?;
    let directory = ContainerDirectory(order.container.clone());
    let Target { bundle, group, init: init_fd } = Target::find(&directory)?;
    let (report, child_report) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(Failure::step("make a socket"))?;
    let (stdio, terminal) = if order.terminal {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(Failure::step("make a socket"))?;
        (Stdio::Terminal(theirs), Some(ours))
    } else {
        let streams: [OwnedFd; 3] =
            streams.try_into().map_err(|_| Failure::new("the order came without the three streams"))?;
        let [stdin, stdout, stderr] = streams;
        (Stdio::Pipes(stdin, stdout, stderr), None)
    };
    let process = process_of(&bundle, &order);
    // The command starts in the container's cgroup and process namespace; the rest of the way it goes itself, so that
    // this process still sees the host's files.
    group.enter_version_1().map_err(Failure::step("enter the container's cgroup"))?;
    let version_2 = group.open_version_2().map_err(Failure::step("open the container's cgroup"))?;
    if bundle.own_pid_namespace {
        setns(init_fd.as_fd(), CloneFlags::CLONE_NEWPID).map_err(Failure::step("enter the process namespace"))?;
    }
    let mut child = Some((stdio, child_report));
    let forked = process::fork_into_group(version_2.as_ref().map(AsFd::as_fd), |placed| match child.take() {
        Some((stdio, report)) => {
            let placed = if placed { Ok(()) } else { group.enter_version_2() };
            let placed = placed.map_err(Failure::step("enter the container's cgroup"));
            run_command(&bundle, &process, &init_fd, stdio, &report, placed)
        }
        None => START_ERROR,
    });
    drop(child);
    let pid = forked.map_err(Failure::step("fork"))?;
    let begun = || {
        let pidfd = PidFd::open(pid.as_raw()).map_err(Failure::step("open the process"))?;
        let terminal = terminal.map(|socket| receive_terminal(&socket, &report)).transpose()?;
        match protocol::receive::<Report>(&report).map_err(Failure::step("hear from the command"))? {
            None => Ok((Command { pid, pidfd, group }, terminal)),
            Some((Report::Failed { message, exit_code }, _)) => Err(Failure { message, exit_code }),
            Some((other, _)) => Err(Failure::new(format!("unexpected report {other:?}"))),
        }
    };
    begun().inspect_err(|_| {
        let _ = process::kill(pid.as_raw(), nix::libc::SIGKILL);
        let _ = waitpid(pid, None);
    })
}

/// A container whose init runs.
struct Target {
    bundle: Bundle,
    group: Cgroup,
    init: PidFd,
}

impl Target {
    /// The container of `directory`.
    fn find(directory: &ContainerDirectory) -> Result<Self, Failure> {
        let bundle = directory.bundle().map_err(Failure::step("read the bundle"))?;
        let started = directory.started().map_err(Failure::step("read the container's state"))?;
        let pid = started.ok_or_else(|| Failure::new("container is not running"))?.pid;
        let group = Hierarchies::detect().map_err(Failure::step("find cgroups"))?.group(&bundle.cgroup);
        let init = PidFd::open(pid).map_err(Failure::step("find the container's init"))?;
        // The number may have been used again, but not inside the container's own cgroup.
        if !group.processes().contains(&pid) {
            return Err(Failure::new("container is not running"));
        }
        Ok(Self { bundle, group, init })
    }
}

/// Has the children of this process live in the process namespace of the container of `directory`.
pub(super) fn join_processes(directory: PathBuf) -> Result<(), Failure> {
    let target = Target::find(&ContainerDirectory(directory))?;
    setns(target.init.as_fd(), CloneFlags::CLONE_NEWPID).map_err(Failure::step("enter the process namespace"))
}

/// The container's own process with another command.
fn process_of(bundle: &Bundle, order: &ExecOrder) -> Process {
    let mut process = Process { command: order.command.clone(), ..bundle.process.clone() };
    if order.terminal && !process.env.iter().any(|(name, _)| name == "TERM") {
        process.env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    process
}

/// Enters the namespaces of the container's init, all at once by its pidfd: nothing is looked up by a path.
fn join(bundle: &Bundle, init: &PidFd) -> Result<(), Failure> {
    let mut kinds = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
    let optional = [
        (bundle.namespaces.net.is_some(), CloneFlags::CLONE_NEWNET),
        (bundle.namespaces.ipc.is_some(), CloneFlags::CLONE_NEWIPC),
        (bundle.namespaces.uts.is_some(), CloneFlags::CLONE_NEWUTS),
    ];
    for (_, kind) in optional.iter().filter(|(joined, _)| *joined) {
        kinds |= *kind;
    }
    setns(init.as_fd(), kinds).map_err(Failure::step("enter the container's namespaces"))
}

/// Runs in the child, which is in its cgroup if `placed` says so. Returns its exit code if the command could not be run.
fn run_command(
    bundle: &Bundle,
    process: &Process,
    init: &PidFd,
    stdio: Stdio,
    report: &OwnedFd,
    placed: Result<(), Failure>,
) -> i32 {
    let prepare = || {
        placed?;
        nix::unistd::setsid().map_err(Failure::step("start a session"))?;
        init::set_limits(bundle)?;
        if let Stdio::Pipes(stdin, stdout, stderr) = &stdio {
            let connect = || {
                nix::unistd::dup2_stdin(stdin.as_fd())?;
                nix::unistd::dup2_stdout(stdout.as_fd())?;
                nix::unistd::dup2_stderr(stderr.as_fd())
            };
            connect().map_err(Failure::step("connect the streams"))?;
        }
        join(bundle, init)?;
        match stdio {
            Stdio::Terminal(socket) => init::open_terminal(socket, false),
            Stdio::Pipes(..) => Ok(()),
        }
    };
    let failure = match prepare() {
        Ok(()) => command::become_command(process),
        Err(failure) => failure,
    };
    let code = failure.exit_code;
    let _ = protocol::send(report, &Report::from(failure), &[]);
    code
}

impl Command {
    /// Waits for the command's end. A message from the server, or its going away with one pending, means: kill it.
    fn wait(&self, control: &OwnedFd) -> io::Result<i32> {
        let mut listening = true;
        loop {
            let mut descriptors = vec![PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            if listening {
                descriptors.push(PollFd::new(control.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut descriptors, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let asked = descriptors.get(1).and_then(PollFd::any).unwrap_or(false);
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(_, code) => return Ok(code),
                WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
                _ => {}
            }
            if asked {
                match protocol::receive::<crate::protocol::Request>(control) {
                    Ok(Some(_)) => self.kill_tree(),
                    // The session was dropped; the command goes on.
                    Ok(None) | Err(_) => listening = false,
                }
            }
        }
    }

    /// Kills the command and everything in its session, which its children are in unless they left on purpose.
    fn kill_tree(&self) {
        for pid in self.group.processes().into_iter().filter(|pid| session(*pid) == Some(self.pid.as_raw())) {
            let _ = process::kill(pid, nix::libc::SIGKILL);
        }
        let _ = self.pidfd.signal(nix::libc::SIGKILL);
    }
}

/// The session of a process: the fourth field after its name, see proc_pid_stat(5).
fn session(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}
