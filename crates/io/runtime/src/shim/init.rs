//! The container's init, from fork to `execve`: namespaces, root, terminal, then the command.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::path::Path;

use libcontainer::syscall::syscall::create_syscall;
use minato_linux::cgroup::{Cgroup, Hierarchies};
use nix::sched::{CloneFlags, setns, unshare};

use super::{Failure, command, rootfs};
use crate::bundle::Bundle;
use crate::protocol::{self, Report};

/// What the init gets from the shim. Every descriptor is closed on exec.
pub(super) struct Start<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) directory: &'a Path,
    pub(super) hierarchies: &'a Hierarchies,
    /// The container's own.
    pub(super) group: &'a Cgroup,
    /// A byte comes here when the shim knows this process; end of file if the shim is gone.
    pub(super) go: OwnedFd,
    /// The shim's end of `go`, to be closed in the child.
    pub(super) hold: Option<OwnedFd>,
    /// Failures are reported here; end of file without one means that the command runs.
    pub(super) report: OwnedFd,
    pub(super) stdio: Stdio,
}

/// Where the command's streams go.
pub(super) enum Stdio {
    /// Standard input, output and error.
    Pipes(OwnedFd, OwnedFd, OwnedFd),
    /// A terminal is made inside the container, and its other end sent to this socket.
    Terminal(OwnedFd),
}

/// Runs in the child; `placed` if that is in its cgroup of version 2 already. Returns the process's exit code if the
/// command could not be run.
pub(super) fn child(start: Start<'_>, placed: bool) -> i32 {
    let report = match start.report.try_clone() {
        Ok(report) => report,
        Err(_) => return super::START_ERROR,
    };
    let failure = match prepare(start, placed) {
        Ok(bundle) => command::become_command(&bundle.process),
        Err(failure) => failure,
    };
    let code = failure.exit_code;
    // If the shim is gone there is nobody to tell.
    let _ = protocol::send(&report, &Report::from(failure), &[]);
    code
}

fn prepare(start: Start<'_>, placed: bool) -> Result<&Bundle, Failure> {
    let Start { bundle, directory, hierarchies, group, go, hold, report: _, stdio } = start;
    drop(hold);
    let enter_version_2 = || if placed { Ok(()) } else { group.enter_version_2() };
    group.enter_version_1().and_then(|()| enter_version_2()).map_err(Failure::step("enter the cgroup"))?;
    io::Read::read_exact(&mut File::from(go), &mut [0]).map_err(Failure::step("wait for the shim"))?;
    nix::unistd::setsid().map_err(Failure::step("start a session"))?;
    for (path, flag) in [
        (&bundle.namespaces.net, CloneFlags::CLONE_NEWNET),
        (&bundle.namespaces.ipc, CloneFlags::CLONE_NEWIPC),
        (&bundle.namespaces.uts, CloneFlags::CLONE_NEWUTS),
    ] {
        let Some(path) = path else { continue };
        let join = || setns(File::open(path)?, flag).map_err(io::Error::from);
        join().map_err(Failure::step(format!("join namespace {}", path.display())))?;
    }
    // The cgroup namespace shows the group this process is in now as its root.
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).map_err(Failure::step("make namespaces"))?;
    if let Stdio::Pipes(stdin, stdout, stderr) = &stdio {
        let connect = || {
            nix::unistd::dup2_stdin(stdin.as_fd())?;
            nix::unistd::dup2_stdout(stdout.as_fd())?;
            nix::unistd::dup2_stderr(stderr.as_fd())
        };
        connect().map_err(Failure::step("connect the streams"))?;
    }
    set_limits(bundle)?;
    let root = rootfs::build(bundle, directory, hierarchies)?;
    rootfs::enter(&root)?;
    rootfs::settle_propagation(bundle)?;
    if let Stdio::Terminal(socket) = stdio {
        open_terminal(socket, true)?;
    }
    rootfs::protect(bundle)?;
    Ok(bundle)
}

/// Makes a terminal in the container's devpts, takes it as controlling terminal and standard streams, and sends the
/// other end to `socket`.
pub(super) fn open_terminal(socket: OwnedFd, mount_console: bool) -> Result<(), Failure> {
    // setup_console closes the descriptor itself.
    libcontainer::tty::setup_console(&*create_syscall(), socket.into_raw_fd(), mount_console)
        .map_err(Failure::step("open a terminal"))
}

/// Resource limits and the score for the kernel's choice when memory runs out.
pub(super) fn set_limits(bundle: &Bundle) -> Result<(), Failure> {
    use nix::sys::resource::{Resource, setrlimit};
    let kinds = [
        ("RLIMIT_AS", Resource::RLIMIT_AS),
        ("RLIMIT_CORE", Resource::RLIMIT_CORE),
        ("RLIMIT_CPU", Resource::RLIMIT_CPU),
        ("RLIMIT_DATA", Resource::RLIMIT_DATA),
        ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
        ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
        ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
        ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
        ("RLIMIT_NICE", Resource::RLIMIT_NICE),
        ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
        ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
        ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
        ("RLIMIT_STACK", Resource::RLIMIT_STACK),
    ];
    for limit in &bundle.config.rlimits {
        let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == limit.kind) else {
            return Err(Failure::new(format!("unknown resource limit {:?}", limit.kind)));
        };
        setrlimit(*kind, limit.soft, limit.hard).map_err(Failure::step(format!("set {}", limit.kind)))?;
    }
    let score = bundle.config.resources.oom_score_adj.unwrap_or(0);
    match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        // On a machine that is a container itself, root may not make a process safer than its parent. The container
        // runs as well, only the kernel's choice is another when all of the machine's memory is used up.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(Failure::step("set oom_score_adj")),
    }
}
