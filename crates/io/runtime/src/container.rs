//! What a container is made from, and what can be seen of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{RuntimeError, SandboxId};

/// Names a container: 64 hexadecimal digits, never used twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a container is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerConfig {
    /// The container's name in its pod.
    pub name: String,
    /// How often this container was created in its pod before.
    pub attempt: u32,
    /// The image's name or digest; it must be in the image store.
    pub image: String,
    /// Replaces the image's entrypoint if not empty; then the image's command is not used either.
    pub command: Vec<String>,
    /// Replaces the image's command if not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory if not empty. Created if it does not exist.
    pub working_dir: String,
    /// Comes after the image's environment and wins over it.
    pub env: Vec<(String, String)>,
    /// Bind mounts, in any order.
    pub mounts: Vec<Mount>,
    /// Host devices to be seen inside.
    pub devices: Vec<Device>,
    /// Limits.
    pub resources: Resources,
    /// Per-process limits.
    pub rlimits: Vec<Rlimit>,
    /// Who the processes are and what they may do.
    pub security: Security,
    /// Log file, relative to the sandbox's `log_directory`; empty: output is thrown away.
    pub log_path: PathBuf,
    /// The process gets a terminal.
    pub tty: bool,
    /// Standard input stays open for [`crate::Runtime::attach`]; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// Standard input is closed when the first attached client goes away.
    pub stdin_once: bool,
    /// The container sees the processes of this running one of the same pod, and ends with it.
    pub processes_of: Option<ContainerId>,
    /// Overrides the image's stop signal, such as `SIGQUIT`.
    pub stop_signal: Option<String>,
    /// Whatever the kubelet wants to find again after a restart.
    pub labels: BTreeMap<String, String>,
}

/// A file or directory of the host, seen inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Must exist.
    pub host_path: PathBuf,
    /// Absolute path inside; created if it does not exist.
    pub container_path: PathBuf,
    /// Not writable inside, including mounts below it.
    pub read_only: bool,
    /// Whether later mounts below it cross the border.
    pub propagation: Propagation,
}

/// Whether mounts made later, below a bind mount, are seen on the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Neither side sees the other's.
    #[default]
    None,
    /// The container sees the host's.
    HostToContainer,
    /// Both see each other's. Only for privileged containers.
    Bidirectional,
}

/// A device of the host, seen inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// A device node of the host.
    pub host_path: PathBuf,
    /// Absolute path inside.
    pub container_path: PathBuf,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits of a cgroup; `None` or 0 in a field: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// CPU weight as cgroup v1 shares (1024 for one CPU requested); converted on v2.
    pub cpu_shares: Option<u64>,
    /// CPU time per period, in microseconds.
    pub cpu_quota: Option<i64>,
    /// The period, in microseconds.
    pub cpu_period: Option<u64>,
    /// Memory limit; swap is not added to it.
    pub memory_limit_bytes: Option<i64>,
    /// Score adjustment for the out-of-memory killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Most processes and threads at once.
    pub pids_limit: Option<i64>,
    /// CPUs that may be used, such as `0-3`.
    pub cpuset_cpus: Option<String>,
    /// Limits of huge pages by page size, such as `2MB`.
    pub hugepage_limits: BTreeMap<String, u64>,
}

impl Resources {
    /// The part that is written to a cgroup.
    pub(crate) fn limits(&self) -> minato_linux::cgroup::Limits {
        minato_linux::cgroup::Limits {
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpu_quota: self.cpu_quota.filter(|quota| *quota != 0),
            cpu_period: self.cpu_period,
            memory_bytes: self.memory_limit_bytes.filter(|bytes| *bytes != 0),
            pids: self.pids_limit.filter(|pids| *pids != 0),
            cpuset_cpus: self.cpuset_cpus.clone().filter(|cpus| !cpus.is_empty()),
            hugepages: self.hugepage_limits.clone(),
            oom_group: false,
        }
    }
}

/// One `setrlimit(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// Such as `RLIMIT_NOFILE`.
    pub kind: String,
    /// The limit that counts.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

/// Who a container's processes are and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Replaces the image's user.
    pub run_as_user: Option<u32>,
    /// Replaces the primary group.
    pub run_as_group: Option<u32>,
    /// Further groups; those of the image's `/etc/group` come on top.
    pub supplemental_groups: Vec<u32>,
    /// The processes must not be root: refuse to create the container otherwise.
    pub run_as_non_root: bool,
    /// All capabilities and devices, nothing masked.
    pub privileged: bool,
    /// The root file system is not writable.
    pub read_only_rootfs: bool,
    /// Capabilities on top of the default ones, with or without `CAP_`; `ALL` is understood.
    pub add_capabilities: Vec<String>,
    /// Capabilities taken from the default ones; `ALL` is understood. Additions win.
    pub drop_capabilities: Vec<String>,
    /// Set-user-ID programs gain nothing (`allowPrivilegeEscalation: false`).
    pub no_new_privileges: bool,
    /// Which system calls are allowed.
    pub seccomp: Seccomp,
    /// Nothing below `/proc` is masked or read-only (`procMount: Unmasked`).
    pub unmasked_proc: bool,
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// All of them: Kubernetes' default.
    #[default]
    Unconfined,
    /// The same list as containerd's and Docker's default profile.
    RuntimeDefault,
}

/// How far a container is in its life.
///
/// | state | next | by |
/// |---|---|---|
/// | `Created` | `Running` | `start_container` |
/// | `Created` | `Exited` | `start_container` fails, or the machine restarts |
/// | `Running` | `Exited` | its init ends, or the machine restarts |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// No process yet.
    Created,
    /// Its init runs.
    Running {
        /// When the command was run.
        started_at: Timestamp,
        /// The init process, as the host sees it.
        pid: i32,
    },
    /// It will never run again.
    Exited {
        /// `None` if it never started.
        started_at: Option<Timestamp>,
        /// When its init ended.
        finished_at: Timestamp,
        /// 128 + signal if a signal ended it; 128 if it could not be started; 255 if nobody knows.
        exit_code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The kernel killed a process of it for lack of memory.
        oom_killed: bool,
        /// Why it could not be started (then the kubelet's reason is `StartError`), or why nobody knows its code
        /// (`ContainerStatusUnknown`).
        message: Option<String>,
    },
}

/// A container as listed.
#[derive(Clone, Debug)]
pub struct ContainerStatus {
    /// Its name.
    pub id: ContainerId,
    /// The pod it belongs to.
    pub sandbox: SandboxId,
    /// Its name in the pod.
    pub name: String,
    /// How often this container was created in its pod before.
    pub attempt: u32,
    /// The image as named in the config.
    pub image: String,
    /// The image's digest, `sha256:…`.
    pub image_id: String,
    /// Absolute path of its log; `None` if its output is thrown away.
    pub log_path: Option<PathBuf>,
    /// Labels from the config.
    pub labels: BTreeMap<String, String>,
    /// Its limits as they are now.
    pub resources: Resources,
    /// When it was created.
    pub created_at: Timestamp,
    /// How far it is.
    pub state: ContainerState,
}

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEvent {
    /// Its init ended; its status has the details already.
    Exited {
        /// Which container.
        id: ContainerId,
        /// Of which pod.
        sandbox: SandboxId,
    },
}

/// A command to run beside a container's main process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// With a terminal; then there is no separate standard error.
    pub tty: bool,
    /// Standard input is wanted; otherwise it is `/dev/null`.
    pub stdin: bool,
    /// Standard output is wanted; otherwise it is `/dev/null`.
    pub stdout: bool,
    /// Standard error is wanted; otherwise it is `/dev/null`.
    pub stderr: bool,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters per line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A stream to a process.
pub type Input = Pin<Box<dyn AsyncWrite + Send>>;
/// A stream from a process.
pub type Output = Pin<Box<dyn AsyncRead + Send>>;

/// Changes the size of a terminal.
#[derive(Clone)]
pub struct Resizer(pub(crate) std::sync::Arc<std::os::fd::OwnedFd>);

impl Resizer {
    /// Tells the terminal, and by SIGWINCH its foreground processes, about its new size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError> {
        minato_linux::terminal::resize(&self.0, size.columns, size.rows)
            .map_err(|source| RuntimeError::System { what: "resize the terminal".into(), source })
    }
}

/// The exit code of a command, awaited: 128 + signal if a signal ended it.
#[derive(Debug)]
pub struct ExitCode {
    pub(crate) task: tokio::task::JoinHandle<i32>,
    pub(crate) kill: Option<tokio::sync::oneshot::Sender<()>>,
}

impl ExitCode {
    /// Has the command and its children killed. Await the code to know that they are dead.
    pub fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // If nobody listens, it has ended already.
            let _ = kill.send(());
        }
    }
}

impl Future for ExitCode {
    type Output = Result<i32, RuntimeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let failed =
            |error| RuntimeError::System { what: "wait for a command".into(), source: io::Error::other(error) };
        Pin::new(&mut self.task).poll(context).map_err(failed)
    }
}

/// A command that runs in a container. Dropping the session closes its streams; the command itself goes on until it
/// ends or notices.
pub struct ExecSession {
    /// Closing (dropping) it is end of file for the command.
    pub stdin: Option<Input>,
    /// With a terminal this has the standard error too.
    pub stdout: Option<Output>,
    /// `None` with a terminal.
    pub stderr: Option<Output>,
    /// `None` without a terminal.
    pub resizer: Option<Resizer>,
    /// The command's exit code, 128 + signal if a signal ended it.
    pub exit_code: ExitCode,
}

/// The streams of a container's main process. They end when it does.
pub struct AttachSession {
    /// `None` if the container has no standard input.
    pub stdin: Option<Input>,
    /// Its output from now on; with a terminal this has the standard error too.
    pub stdout: Option<Output>,
    /// `None` with a terminal.
    pub stderr: Option<Output>,
    /// `None` without a terminal.
    pub resizer: Option<Resizer>,
}

/// What a command in a container printed, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// 128 + signal if a signal ended it.
    pub exit_code: i32,
    /// At most 16 MiB.
    pub stdout: Vec<u8>,
    /// At most 16 MiB.
    pub stderr: Vec<u8>,
}

/// Reads a signal's name as images and pods write it: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
#[must_use]
pub fn parse_signal(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = bare.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    format!("SIG{bare}").parse::<Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let cases = [
            ("SIGTERM", Some(15)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGNONE", None),
            ("0", None),
            ("65", None),
            ("", None),
        ];
        for (name, number) in cases {
            assert_eq!(parse_signal(name), number, "{name}");
        }
    }
}
