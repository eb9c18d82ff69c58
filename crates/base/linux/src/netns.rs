//! Working inside a network namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Runs `work` in the network namespace that is pinned at `path`, on a thread of its own, and returns its result.
///
/// Sockets belong to the namespace they were opened in: those that `work` returns stay in it, whatever thread uses
/// them later. Blocks until `work` is done; call it from a blocking thread.
///
/// # Errors
/// When the namespace cannot be entered, or `work` panics.
pub fn in_netns<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    in_netns_fd(namespace.as_fd(), work)
}

/// As [`in_netns`], with a descriptor of the namespace.
///
/// # Errors
/// When the namespace cannot be entered, or `work` panics.
pub fn in_netns_fd<T: Send>(namespace: impl AsFd + Sync, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = namespace.as_fd();
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("in-netns".into()).spawn_scoped(scope, || {
            // The thread ends after `work`, so there is no namespace to go back to.
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the work in the network namespace panicked")))
    })
}
