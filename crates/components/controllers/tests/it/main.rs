//! The controllers against the real API server and store, in one process: no network, no containers. A kubelet is played
//! by a task that binds pods, makes them ready and lets terminating ones end.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers are tests too, but clippy knows only #[test] functions

mod cluster;
mod endpoints;
mod garbage;
mod namespaces;
mod nodes;
mod rollouts;
