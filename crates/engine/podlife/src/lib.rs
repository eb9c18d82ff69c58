//! The life of a pod on its node, decided without touching anything.
//!
//! [`decide`] looks at the pod's specification, at what the runtime reports, at what is remembered of failures and
//! probes, and at the time; it answers with the next steps, the time to look again and the status for the API. The
//! kubelet carries the steps out and asks again. The other modules answer the smaller questions on the way: which
//! environment a container gets, which files a volume holds, which cgroup numbers follow from requests and limits.
//!
//! Nothing here awaits, reads a clock or opens a file, so that a pod's whole life, crashes included, runs in a test
//! in microseconds.

pub mod backoff;
pub mod cgroup;
pub mod decide;
pub mod downward;
pub mod env;
pub mod ephemeral;
pub mod expand;
pub mod identity;
pub mod memory;
pub mod observed;
pub mod payload;
pub mod probe;
pub mod qos;
pub mod resolv;
pub mod restart;
mod status;
pub mod sysctl;

pub use decide::{Action, Decision, Input, StopCause, decide};
pub use memory::{FailureKind, Memory, ProbeKind, Rejection, StartFailure};
pub use observed::{Container, ContainerState, Exit, Observed, Sandbox};

/// `back-off 10s restarting failed container=c pod=p_ns(uid)`: the text of the BackOff event and of the status.
pub fn back_off_message(input: &Input<'_>, container: &str) -> String {
    status::crash_loop_message(input, container)
}
