//! The first process of a process namespace that all containers of a pod share: `minato shim hold`.
//!
//! It takes care of orphans, which is all that a first process must do, and lives in a cgroup of its own below the
//! pod's, with which it ends. Containers that may trace processes can look into it (`/proc/1/root`, `/proc/1/fd`), so
//! it has nothing: no descriptors, an empty root, no capabilities, nobody's user.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use minato_linux::capability::{self, Capabilities};
use minato_linux::cgroup::Hierarchies;
use minato_linux::{namespaces, process};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Uid};

use super::{Failure, rootfs};

/// Starts the process and pins its namespace in the directory `pins`.
pub(super) fn run(pins: &Path, group: &str) -> ExitCode {
    match start(pins, group) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("minato shim: {}", failure.message);
            ExitCode::FAILURE
        }
    }
}

fn start(pins: &Path, group: &str) -> Result<(), Failure> {
    // Fails only if it leads a process group already, which is as good.
    let _ = nix::unistd::setsid();
    nix::unistd::chdir("/").map_err(Failure::step("leave the server's directory"))?;
    let group = Hierarchies::detect().map_err(Failure::step("find cgroups"))?.group(group);
    group.create().map_err(Failure::step("create the cgroup"))?;
    group.enter_version_1().map_err(Failure::step("enter the cgroup"))?;
    let version_2 = group.open_version_2().map_err(Failure::step("open the cgroup"))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(Failure::step("make a process namespace"))?;
    let pid = process::fork_into_group(version_2.as_ref().map(|group| group.as_fd()), |placed| {
        if !placed && group.enter_version_2().is_err() {
            return super::START_ERROR;
        }
        // A program of its own, so that nothing of this one is left in it.
        let executed = process::close_on_exec_from(3).and_then(|()| {
            Ok(nix::unistd::execve(c"/proc/self/exe", &[c"minato", c"shim", c"hold"], &[] as &[&CStr])?)
        });
        match executed {
            Ok(never) => match never {},
            Err(_) => super::START_ERROR,
        }
    });
    let pid = pid.map_err(Failure::step("fork"))?;
    namespaces::pin_processes(pins, pid.as_raw()).map_err(|error| {
        let _ = process::kill(pid.as_raw(), nix::libc::SIGKILL);
        Failure::step("pin the process namespace")(error)
    })
}

/// Gives everything away, then buries the dead until it is killed.
pub(super) fn hold() -> ExitCode {
    if let Err(failure) = give_away() {
        eprintln!("minato shim: {}", failure.message);
        return ExitCode::FAILURE;
    }
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    if signals.thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
        let _ = signals.wait();
    }
}

fn give_away() -> Result<(), Failure> {
    const ROOT: &str = "/proc";
    const NOBODY: u32 = 65_534;
    let nothing = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    unshare(CloneFlags::CLONE_NEWNS).map_err(Failure::step("make a mount namespace"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(Failure::step("make the mounts private"))?;
    // Any directory will do: what is below it is out of reach from now on.
    mount(Some("nothing"), ROOT, Some("tmpfs"), nothing, Some("size=4k,mode=555"))
        .map_err(Failure::step("mount an empty root"))?;
    rootfs::enter(Path::new(ROOT))?;
    capability::limit_bounding_set(Capabilities::default())
        .map_err(Failure::step("limit the capability bounding set"))?;
    nix::unistd::setgroups(&[]).map_err(Failure::step("leave all groups"))?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    nix::unistd::setresgid(group, group, group).map_err(Failure::step("become nobody"))?;
    nix::unistd::setresuid(user, user, user).map_err(Failure::step("become nobody"))?;
    capability::set(Capabilities::default()).map_err(Failure::step("give capabilities away"))?;
    process::set_no_new_privileges().map_err(Failure::step("set no_new_privs"))
}
