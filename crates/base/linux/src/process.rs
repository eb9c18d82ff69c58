//! Processes: pidfd, fork, system call filters.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork};

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens a process; it stays the same process even if the number is used again.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; it fits a RawFd.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(result as RawFd) }))
    }

    /// Sends a signal, by number so that real-time signals work too.
    ///
    /// # Errors
    /// `ESRCH` when the process has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: with a null siginfo the kernel reads no memory of ours; the descriptor is open.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal to a process by its number.
///
/// # Errors
/// `ESRCH` when there is none.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Forks this process, which must have one thread only, and runs `child` in the child, which ends with its result as
/// exit code.
///
/// # Errors
/// When the process has other threads, or the kernel refuses.
pub fn fork_single_threaded(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    refuse_threads()?;
    // SAFETY: there is one thread (checked above, and only this thread could start another), so the child finds no
    // lock held and may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => end_as(child),
    }
}

/// As [`fork_single_threaded`], with the child in a cgroup of version 2 from its beginning (`CLONE_INTO_CGROUP`, see
/// clone(2)), where it would otherwise have to be moved. `child` learns whether that was done: without a group, and on
/// kernels before 5.7, it was not.
///
/// # Errors
/// As [`fork_single_threaded`].
pub fn fork_into_group(group: Option<BorrowedFd<'_>>, child: impl FnOnce(bool) -> i32) -> io::Result<Pid> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    refuse_threads()?;
    if let Some(group) = group {
        // SAFETY: all fields are integers, for which zero is valid.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.cgroup = group.as_raw_fd() as u64;
        // SAFETY: without CLONE_VM and a stack this is fork: the child returns here on its own copy of everything. There
        // is one thread (checked above), so it finds no lock held. The kernel reads the arguments before it returns.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
        match pid {
            0 => end_as(|| child(true)),
            1.. => return Ok(Pid::from_raw(pid as i32)),
            // Not known, or not allowed here: the plain way will tell what is wrong.
            _ => {}
        }
    }
    fork_single_threaded(|| child(false))
}

fn refuse_threads() -> io::Result<()> {
    match fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        _ => Err(io::Error::other("this process has several threads, a fork could find locks held")),
    }
}

/// The whole life of a forked child.
fn end_as(child: impl FnOnce() -> i32) -> ! {
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(255);
    // SAFETY: _exit ends the process at once; nothing of the parent's (buffers, exit handlers) is run twice.
    unsafe { libc::_exit(code) }
}

/// Gives every signal its default action and blocks none, as a program expects to start. `execve` keeps ignored
/// signals ignored, and Rust programs ignore SIGPIPE.
pub fn reset_signals() {
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: SIG_DFL is no function of ours, so no handler can run in a wrong context.
        unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// Marks every descriptor from `first` on to be closed by `execve`.
///
/// # Errors
/// On kernels before 5.11.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: close_range takes three integers; with CLOEXEC it closes nothing that is in use now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a new keyring for this process, so that it does not share the server's. Not possible everywhere, so best
/// effort.
pub fn new_session_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name asks for an anonymous keyring; the kernel reads no memory of ours.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
}

/// The calling thread and its children may never gain privileges by `execve`.
///
/// # Errors
/// On kernels before 3.5.
pub fn set_no_new_privileges() -> io::Result<()> {
    // SAFETY: prctl with five integers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether other processes of the user may look into this one; libcontainer switches it off.
///
/// # Errors
/// Never in practice.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    // SAFETY: prctl with five integers.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One instruction of a classic BPF program: code, jump if true, jump if false, operand.
pub type FilterInstruction = (u16, u8, u8, u32);

/// Installs a system call filter for the calling thread and its children. Needs CAP_SYS_ADMIN or no-new-privileges.
///
/// # Errors
/// When the kernel finds the program wrong, or the thread lacks the right.
pub fn install_filter(program: &[FilterInstruction]) -> io::Result<()> {
    let mut instructions: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = libc::c_ushort::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    // SAFETY: the program and its instructions live until the call returns; the kernel copies and checks them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_signals_its_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = PidFd::open(child.id() as i32).unwrap();
        pidfd.signal(libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert_eq!(pidfd.signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_fork_beside_other_threads_is_refused() {
        // The test harness has at least one thread besides this one.
        assert!(fork_single_threaded(|| 0).is_err());
    }
}
