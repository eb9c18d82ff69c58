//! What can go wrong with sandboxes and containers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{ContainerId, SandboxId};

/// Why the runtime did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No sandbox of this id.
    #[error("sandbox {0} not found")]
    SandboxNotFound(SandboxId),
    /// No container of this id.
    #[error("container {0} not found")]
    ContainerNotFound(ContainerId),
    /// The sandbox's namespaces are gone, as after a reboot; the pod needs a new one.
    #[error("sandbox {0} is not ready")]
    SandboxNotReady(SandboxId),
    /// The image is not in the store.
    #[error("image {image:?} is not present on this node")]
    ImageNotFound {
        /// As it was asked for.
        image: String,
    },
    /// The request cannot be fulfilled as it stands: kubelet's `CreateContainerConfigError` or
    /// `CreateContainerError`.
    #[error("{0}")]
    InvalidConfig(String),
    /// The pod demands a non-root user and this container would run as root or as somebody unknown.
    #[error("{0}")]
    RunAsNonRoot(String),
    /// The command could not be run: kubelet's `RunContainerError`, and `StartError` in the container's status.
    #[error("{message}")]
    Start {
        /// In the words that users of runc and containerd know, such as
        /// `exec: "foo": executable file not found in $PATH`.
        message: String,
        /// 127 (not found), 126 (not executable) or 128, as shells and runc say.
        exit_code: i32,
    },
    /// The operation needs a running container.
    #[error("container {0} is not running")]
    NotRunning(ContainerId),
    /// A command in a container could not be run.
    #[error("{message}")]
    Exec {
        /// In runc's words.
        message: String,
        /// 126 (not executable) or 127 (not found).
        exit_code: i32,
    },
    /// A command in a container took too long and was killed.
    #[error("command {command:?} timed out after {timeout:?}")]
    ExecTimeout {
        /// Program and arguments.
        command: Vec<String>,
        /// How long it was given.
        timeout: Duration,
    },
    /// The processes of a container did not end, even though they were killed.
    #[error("container {id} is still running {waited:?} after SIGKILL")]
    Unkillable {
        /// Which container.
        id: ContainerId,
        /// How long we waited.
        waited: Duration,
    },
    /// A file of the runtime could not be read or written.
    #[error("failed to {what} {}", path.display())]
    File {
        /// A verb: `read`, `create`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("failed to {what}")]
    System {
        /// Such as `create the namespaces of pod default/web`.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The image store failed.
    #[error("image store")]
    Images(#[from] minato_images::ImageError),
    /// The shim process does not behave.
    #[error("shim of container {id}: {message}")]
    Shim {
        /// Which container.
        id: ContainerId,
        /// What it did or did not do.
        message: String,
    },
    /// Several clean-up steps failed; the others were done.
    #[error("clean-up of {what} is not complete: {}", .errors.join("; "))]
    CleanUp {
        /// What was to be removed.
        what: String,
        /// Every failure.
        errors: Vec<String>,
    },
}
