//! Importing real and hostile archives. Owners and device nodes need root; without it the tests say so and skip.

// Helpers of tests may panic as tests may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, missing_docs)]

mod archives;
mod forms;
mod hostile;
mod layers;
mod sharing;
