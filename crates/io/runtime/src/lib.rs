//! Runs pods' sandboxes and containers on this machine.
//!
//! The kubelet speaks to a [`Runtime`], a trait shaped like Kubernetes' CRI. [`Embedded`] is the built-in
//! implementation: youki's `libcontainer`, called only from a re-executed, single-threaded *shim* process
//! ([`shim::main`]), because libcontainer forks by raw `clone3` and must never run beside other threads.
//!
//! Who owns what:
//! - A *sandbox* is a pod's network, IPC and UTS namespaces, pinned by bind mounts below
//!   `<data-dir>/node/pods/<uid>/ns`, and the pod's cgroup. It has no process of its own.
//! - A *container* is a directory `<data-dir>/node/containers/<id>`; while it runs, a shim process is the parent of
//!   its init, owns its output, answers on `shim.sock`, and leaves an `exit` file behind. Shims outlive the server:
//!   after a restart [`Embedded::open`] finds every one of them again.
//! - The root file system is mounted in a mount namespace that only the container sees, so there is no mount to
//!   leak: it goes with the container's last process.

mod bundle;
mod container;
mod embedded;
mod error;
mod protocol;
mod runtime;
mod sandbox;
mod seccomp;
pub mod shim;
mod usage;

pub use container::{
    AttachSession, ContainerConfig, ContainerEvent, ContainerId, ContainerState, ContainerStatus, Device, ExecOutput,
    ExecRequest, ExecSession, ExitCode, Input, Mount, Output, Propagation, Resizer, Resources, Rlimit, Seccomp,
    Security, TerminalSize, parse_signal,
};
pub use embedded::{Config, Embedded, teardown};
pub use error::RuntimeError;
pub use runtime::Runtime;
pub use sandbox::{Sandbox, SandboxConfig, SandboxId, SandboxStatus};
pub use usage::{CpuUsage, DeviceUsage, DiskUsage, GroupUsage, MemoryUsage, RuntimeUsage, Usage};
