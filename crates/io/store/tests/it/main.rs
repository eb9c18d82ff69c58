//! The embedded store through its public interface, over real files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod backups;
mod commits;
mod crashes;
mod damage;
mod disks;
mod refusals;
mod sealing;
mod sizes;
mod support;
