//! Kinds as data.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers may fail loudly")]

mod case;
mod declarations;
mod devices;
mod jobs;
mod judges;
mod long_lists;
mod more;
mod pods;
mod properties;
mod services;
mod shapes;
mod small;
mod warnings;
mod workloads;
