//! Namespaces without a process: created on a thread that ends, kept alive by bind mounts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// A kind of namespace that can be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// Network devices, addresses, routes, sockets.
    Net,
    /// System V and POSIX message queues and shared memory.
    Ipc,
    /// Host name.
    Uts,
    /// Process numbers; ends with its first process, pinned or not. See [`pin_processes`].
    Pid,
}

impl Namespace {
    /// All kinds that [`pin`] makes.
    pub const ALL: [Self; 3] = [Self::Net, Self::Ipc, Self::Uts];

    /// The name in `/proc/<pid>/ns`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
        }
    }

    fn flag(self) -> CloneFlags {
        match self {
            Self::Net => CloneFlags::CLONE_NEWNET,
            Self::Ipc => CloneFlags::CLONE_NEWIPC,
            Self::Uts => CloneFlags::CLONE_NEWUTS,
            Self::Pid => CloneFlags::CLONE_NEWPID,
        }
    }
}

/// What new namespaces start with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The host name, if there is a UTS namespace.
    pub hostname: String,
    /// Kernel parameters to write, such as `net.ipv4.ip_forward`.
    pub sysctls: BTreeMap<String, String>,
}

/// Why namespaces could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what}")]
pub struct PinError {
    /// Such as `create namespaces`.
    what: String,
    source: io::Error,
}

/// Creates namespaces of the given kinds and pins each at `<directory>/<name>`. The loopback device of a new network
/// namespace is up. On failure nothing is left behind.
///
/// # Errors
/// [`PinError`] says which step failed.
pub fn pin(directory: &Path, kinds: &[Namespace], setup: &Setup) -> Result<(), PinError> {
    if kinds.is_empty() {
        return Ok(());
    }
    let result = thread::scope(|scope| {
        let spawned = thread::Builder::new().name("pin-namespaces".into()).spawn_scoped(scope, || {
            // This thread leaves the process's namespaces and ends; the others are not affected.
            create_and_pin(directory, kinds, setup)
        });
        let thread = spawned.map_err(step("start a thread"))?;
        thread.join().unwrap_or_else(|_| Err(step("create namespaces")(io::Error::other("the thread panicked"))))
    });
    if result.is_err() {
        for kind in kinds {
            // Best effort: the error that counts is on its way already.
            let _ = unpin(directory, *kind);
        }
    }
    result
}

/// Pins the process namespace of `pid`, the first process in it, at `<directory>/pid`.
///
/// # Errors
/// When the process has ended, or the kernel refuses to mount.
pub fn pin_processes(directory: &Path, pid: i32) -> io::Result<()> {
    bind(Path::new("/proc").join(pid.to_string()).join("ns"), directory, Namespace::Pid)
}

fn bind(namespaces: PathBuf, directory: &Path, kind: Namespace) -> io::Result<()> {
    let target = directory.join(kind.name());
    fs::File::create(&target)?;
    let source = namespaces.join(kind.name());
    mount(Some(&source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// Removes one pin; the namespace ends with its last user. Idempotent.
///
/// # Errors
/// When the kernel refuses to unmount, or the file cannot be removed.
pub fn unpin(directory: &Path, kind: Namespace) -> io::Result<()> {
    let path = directory.join(kind.name());
    match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a namespace is pinned at `path`.
#[must_use]
pub fn is_pinned(path: &Path) -> bool {
    const NSFS_MAGIC: i64 = 0x6e73_6673;
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == NSFS_MAGIC)
}

fn create_and_pin(directory: &Path, kinds: &[Namespace], setup: &Setup) -> Result<(), PinError> {
    let flags = kinds.iter().fold(CloneFlags::empty(), |flags, kind| flags | kind.flag());
    unshare(flags).map_err(io::Error::from).map_err(step("create namespaces"))?;
    if kinds.contains(&Namespace::Uts) && !setup.hostname.is_empty() {
        nix::unistd::sethostname(&setup.hostname)
            .map_err(io::Error::from)
            .map_err(step(format!("set host name {:?}", setup.hostname)))?;
    }
    if kinds.contains(&Namespace::Net) {
        loopback_up().map_err(step("bring the loopback device up"))?;
    }
    for (name, value) in &setup.sysctls {
        // A dot in a device's name is written as a slash, as sysctl(8) has it.
        let path: PathBuf = name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect::<String>()
            .into();
        if path.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(step(format!("set sysctl {name}"))(io::ErrorKind::InvalidInput.into()));
        }
        fs::write(Path::new("/proc/sys").join(path), value).map_err(step(format!("set sysctl {name}={value}")))?;
    }
    for kind in kinds {
        let pinned = bind(PathBuf::from("/proc/thread-self/ns"), directory, *kind);
        pinned.map_err(step(format!("pin a namespace at {}", directory.join(kind.name()).display())))?;
    }
    Ok(())
}

/// Sets IFF_UP on `lo` in the calling thread's network namespace.
fn loopback_up() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request =
        libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq` with a zero-terminated name, which lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn step(what: impl Into<String>) -> impl FnOnce(io::Error) -> PinError {
    let what = what.into();
    move |source| PinError { what, source }
}
