//! Starting a container, from the shim's side.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use minato_linux::cgroup::{Cgroup, Hierarchies, Limits, OomWatch};
use minato_linux::process::{self, PidFd};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::init::{self, Start, Stdio};
use super::{Failure, START_ERROR};
use crate::bundle::Bundle;
use crate::protocol::{self, Report};

/// A container whose command runs.
pub(super) struct Running {
    pub(super) pid: Pid,
    pub(super) pidfd: PidFd,
    pub(super) group: Cgroup,
    pub(super) oom: Option<OomWatch>,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) output: Output,
}

/// Where the command's output comes from.
pub(super) enum Output {
    Pipes { stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// Makes the cgroup and the init process, and waits until the command runs. On failure nothing of it is left.
pub(super) fn start(bundle: &Bundle, directory: &Path, hierarchies: &Hierarchies) -> Result<Running, Failure> {
    let group = hierarchies.group(&bundle.cgroup);
    let result = start_in(bundle, directory, hierarchies, &group);
    if result.is_err() {
        let _ = group.kill(KILL_TIMEOUT);
        let _ = group.remove();
    }
    result
}

pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

fn start_in(bundle: &Bundle, directory: &Path, hierarchies: &Hierarchies, group: &Cgroup) -> Result<Running, Failure> {
    group.create().map_err(Failure::step("create the cgroup"))?;
    group.limit(&limits(bundle)).map_err(Failure::step("limit the cgroup"))?;
    let security = &bundle.config.security;
    if !security.privileged {
        let devices: Vec<_> = bundle
            .config
            .devices
            .iter()
            .map(|device| (device.host_path.as_path(), device.permissions.as_str()))
            .collect();
        group.allow_devices(&devices).map_err(Failure::step("limit devices"))?;
    }
    let oom = group.watch_oom().ok();
    let (go, hold) = pair_pipe()?;
    let (report, child_report) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(Failure::step("make a socket"))?;
    let (stdin, stdio, output) = streams(bundle)?;

    if let Some(target) = &bundle.processes_of {
        super::exec::join_processes(target.clone())?;
    } else if let Some(pin) = &bundle.namespaces.pid {
        let pin = File::open(pin).map_err(Failure::step("find the pod's process namespace"))?;
        setns(pin, CloneFlags::CLONE_NEWPID).map_err(Failure::step("enter the pod's process namespace"))?;
    } else if bundle.own_pid_namespace {
        // For children only: the shim itself stays where it is.
        unshare(CloneFlags::CLONE_NEWPID).map_err(Failure::step("make a process namespace"))?;
    }
    let start = Start { bundle, directory, hierarchies, group, go, hold: Some(hold), report: child_report, stdio };
    let mut start = Some(start);
    let version_2 = group.open_version_2().map_err(Failure::step("open the cgroup"))?;
    let forked = process::fork_into_group(version_2.as_ref().map(AsFd::as_fd), |placed| match start.take() {
        Some(start) => init::child(start, placed),
        None => START_ERROR,
    });
    let hold = start.as_mut().and_then(|start| start.hold.take());
    // The child's ends, here.
    drop(start);
    let pid = forked.map_err(Failure::step("fork"))?;
    let begun = || {
        let pidfd = PidFd::open(pid.as_raw()).map_err(Failure::step("open the process"))?;
        let go = || File::from(hold.ok_or(io::ErrorKind::NotFound)?).write_all(b"!");
        go().map_err(Failure::step("let the init process go on"))?;
        let output = match output {
            Ok(output) => output,
            Err(socket) => Output::Terminal(receive_terminal(&socket, &report)?),
        };
        match protocol::receive::<Report>(&report).map_err(Failure::step("hear from the init process"))? {
            None => Ok(Running { pid, pidfd, group: group.clone(), oom, stdin, output }),
            Some((Report::Failed { message, exit_code }, _)) => Err(Failure { message, exit_code }),
            Some((other, _)) => Err(Failure::new(format!("unexpected report {other:?}"))),
        }
    };
    begun().inspect_err(|_| {
        let _ = process::kill(pid.as_raw(), nix::libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
    })
}

/// A pipe whose reader learns when the writer is dropped.
fn pair_pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) = io::pipe().map_err(Failure::step("make a pipe"))?;
    Ok((reader.into(), writer.into()))
}

/// The shim's end of standard input, the child's streams, and the shim's ends of the output (or the socket that the
/// terminal will come through).
type Streams = (Option<OwnedFd>, Stdio, Result<Output, OwnedFd>);

fn streams(bundle: &Bundle) -> Result<Streams, Failure> {
    if bundle.config.tty {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(Failure::step("make a socket"))?;
        return Ok((None, Stdio::Terminal(theirs), Err(ours)));
    }
    let (child_stdin, stdin) = if bundle.config.stdin {
        let (reader, writer) = pair_pipe()?;
        (reader, Some(writer))
    } else {
        (File::open("/dev/null").map_err(Failure::step("open /dev/null"))?.into(), None)
    };
    let (stdout, child_stdout) = pair_pipe()?;
    let (stderr, child_stderr) = pair_pipe()?;
    Ok((stdin, Stdio::Pipes(child_stdin, child_stdout, child_stderr), Ok(Output::Pipes { stdout, stderr })))
}

/// Waits for the terminal; if the init fails before it makes one, its report says why.
pub(super) fn receive_terminal(socket: &OwnedFd, report: &OwnedFd) -> Result<OwnedFd, Failure> {
    let (_, mut descriptors) =
        minato_linux::passing::receive(socket, &mut [0; 64]).map_err(Failure::step("receive the terminal"))?;
    match descriptors.pop() {
        Some(terminal) => Ok(terminal),
        None => match protocol::receive::<Report>(report) {
            Ok(Some((Report::Failed { message, exit_code }, _))) => Err(Failure { message, exit_code }),
            _ => Err(Failure::new("the init process ended before it opened a terminal")),
        },
    }
}

/// The limits of the container's own cgroup.
fn limits(bundle: &Bundle) -> Limits {
    Limits { oom_group: true, ..bundle.config.resources.limits() }
}
