//! Real containers: these tests need root and a static busybox (Debian: `apt-get install busybox-static`), and say so
//! if one is missing.

// Helpers of tests may panic as tests may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod cluster;
mod containers;
mod exec;
mod processes;
mod restart;
mod security;
