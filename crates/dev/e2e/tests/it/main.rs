//! What users do, against the real binary. Modules by what is looked at; `node` needs root.

mod admission;
mod architecture;
mod auth;
mod bad_input;
mod custom;
mod deletion;
mod kubectl;
mod node;
mod python;
mod recovery;
mod scheduling;
mod server_side_apply;
mod serving;
mod watch;

use std::time::Duration;

/// How long to wait for what takes a moment; a test that passes never waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
