//! Safe wrappers over the Linux interfaces that no library covers. The only crate with `unsafe`.
//!
//! - [`namespaces`]: a pod's namespaces, pinned by bind mounts; [`netns`]: working inside one
//! - [`cgroup`]: version 1, version 2 and hybrid hosts behind one type
//! - [`mounts`], [`disk`]: what is mounted, how full it is
//! - [`process`]: pidfd, fork of a single-threaded process, system call filters
//! - [`passing`]: descriptors over Unix sockets
//! - [`readiness`]: descriptors in tokio
//! - [`terminal`]: the size of a terminal
//! - [`xattr`]: extended attributes
//! - [`capability`]: the capabilities of the calling thread

pub mod capability;
pub mod cgroup;
pub mod disk;
pub mod memory;
pub mod mounts;
pub mod namespaces;
pub mod netns;
pub mod passing;
pub mod process;
pub mod readiness;
pub mod terminal;
pub mod xattr;
