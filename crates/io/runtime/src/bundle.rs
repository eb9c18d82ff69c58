//! What the server and the shims tell each other through files: everything below a container's directory.
//!
//! ```text
//! <containers>/<id>/config.json   the bundle: written once by the server before anything runs
//! <containers>/<id>/upper, work   what the container changed, for overlayfs
//! <containers>/<id>/rootfs        where its root is mounted, in its own mount namespace only
//! <containers>/<id>/l/<n>         links to the image's layers: short names for overlayfs' options
//! <containers>/<id>/started       written by the shim when the command runs
//! <containers>/<id>/shim.sock     the shim answers here while the container runs
//! <containers>/<id>/exit          written by the shim, once, when the container has ended
//! ```
//! `started` and `exit` are written beside and renamed, so they are either whole or absent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ContainerConfig, SandboxId};

/// Everything a shim needs to run a container, and the server to list it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    pub(crate) id: String,
    pub(crate) sandbox: SandboxId,
    pub(crate) created_at: Timestamp,
    pub(crate) image_id: String,
    pub(crate) config: ContainerConfig,
    /// Unpacked layers, the lowest first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) process: Process,
    /// Namespaces to join.
    pub(crate) namespaces: JoinedNamespaces,
    /// `None`: the container lives in the host's.
    pub(crate) own_pid_namespace: bool,
    /// The directory of the container whose process namespace is joined instead.
    pub(crate) processes_of: Option<PathBuf>,
    /// `/dev/shm` of the pod.
    pub(crate) shared_memory: Option<PathBuf>,
    pub(crate) cgroup: String,
    /// The cgroup of all shims of the cluster.
    pub(crate) shim_cgroup: String,
    /// Absolute path of the log; `None`: output is thrown away.
    pub(crate) log: Option<PathBuf>,
    /// The number of the signal that asks it to end.
    pub(crate) stop_signal: i32,
}

/// Paths of pinned namespaces; `None`: the host's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinedNamespaces {
    pub(crate) net: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    pub(crate) uts: Option<PathBuf>,
    /// `None` says nothing of the host's, see [`Bundle::own_pid_namespace`].
    pub(crate) pid: Option<PathBuf>,
}

/// What is run, for the main process and, with another command, for `exec`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: String,
    pub(crate) user: User,
    /// Beyond those of the image's `/etc/group`.
    pub(crate) groups: Vec<u32>,
    /// Bits of `capabilities(7)`.
    pub(crate) capabilities: u64,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: crate::Seccomp,
}

/// Who runs it, before it is looked up in the image's `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum User {
    /// From the pod.
    Id { user: u32, group: Option<u32> },
    /// From the image: `user` or `user:group`, by name or number; empty is root.
    Image { user: String, group: Option<u32> },
}

/// The container's command runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) at: Timestamp,
    pub(crate) pid: i32,
}

/// The container has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) oom_killed: bool,
    pub(crate) message: Option<String>,
}

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerDirectory(pub(crate) PathBuf);

impl ContainerDirectory {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bundle(&self) -> io::Result<Bundle> {
        read(&self.0.join("config.json"))
    }

    pub(crate) fn write_bundle(&self, bundle: &Bundle) -> io::Result<()> {
        write(&self.0, "config.json", bundle)
    }

    pub(crate) fn started(&self) -> io::Result<Option<Started>> {
        optional(read(&self.0.join("started")))
    }

    pub(crate) fn write_started(&self, started: &Started) -> io::Result<()> {
        write(&self.0, "started", started)
    }

    pub(crate) fn exit(&self) -> io::Result<Option<Exit>> {
        optional(read(&self.0.join("exit")))
    }

    pub(crate) fn write_exit(&self, exit: &Exit) -> io::Result<()> {
        write(&self.0, "exit", exit)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all. The contents are about processes, which do not survive a power failure, so they
/// are not forced to the disk.
pub(crate) fn write<T: Serialize>(directory: &Path, name: &str, value: &T) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}.new"));
    fs::write(&temporary, serde_json::to_vec(value)?)?;
    fs::rename(temporary, directory.join(name))
}
