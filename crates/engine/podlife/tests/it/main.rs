//! A pod's whole life, in a simulated world.
// The lints know test functions, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod life;
mod properties;
mod status;
mod world;
