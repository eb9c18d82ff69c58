//! Waits for a file to grow or a directory to change, without polling.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe;

/// Room for many events at once; what they say is of no interest, only that they came.
const EVENTS_BYTES: usize = 4096;

/// A watch over one path.
pub(crate) struct PathWatch {
    /// An inotify descriptor reads like a pipe, and tokio has a safe way to wait for those.
    events: pipe::Receiver,
}

impl PathWatch {
    /// Starts watching; what happens from now on is not missed.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let interest = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(path, interest)?;
        let descriptor = inotify.as_fd().try_clone_to_owned()?;
        Ok(Self { events: pipe::Receiver::from_owned_fd_unchecked(descriptor)? })
    }

    /// Completes after the path has changed since the last time this completed.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut events = [0; EVENTS_BYTES];
        loop {
            self.events.readable().await?;
            match self.events.try_read(&mut events) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_of_writes_and_new_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let watch = PathWatch::new(directory.path()).unwrap();
        std::fs::write(&file, "1").unwrap();
        watch.changed().await.unwrap();
        let watch = PathWatch::new(&file).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut file| io::Write::write(&mut file, b"2"))
            .unwrap();
        watch.changed().await.unwrap();
    }
}
