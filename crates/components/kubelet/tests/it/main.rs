//! The kubelet against the real API server, with a runtime and a network that exist only in memory.
// The lints know test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod fake;
mod pods;
mod stats;
