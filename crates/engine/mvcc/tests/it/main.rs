//! The in-memory state against a history kept in the simplest way there is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod concurrency;
mod history;
mod model;
