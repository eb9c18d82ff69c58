//! Waiting for descriptors without a thread each.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the current tokio runtime. It should be non-blocking.
///
/// # Errors
/// When the kernel cannot poll it (regular files).
pub fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open as long as it lives and always has the same number, and the AsyncFd owns it.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}
