//! The container's output: to the log, and to whoever is attached.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::log::{Lines, Log, Stream};

/// One of the container's output streams.
pub(super) struct Source {
    file: File,
    lines: Lines,
    attached: Vec<Attached>,
}

/// A client's pipe. While it is full, the stream is not read: the client's pace is the container's.
struct Attached {
    file: File,
    pending: Vec<u8>,
}

/// Most clients of one stream.
const ATTACHED_MAX: usize = 32;
const READ_BYTES: usize = 16 << 10;

impl Source {
    pub(super) fn new(descriptor: OwnedFd, stream: Stream) -> io::Result<Self> {
        set_nonblocking(&descriptor)?;
        Ok(Self { file: descriptor.into(), lines: Lines::new(stream), attached: Vec::new() })
    }

    /// Hands out the reading end of a pipe that gets everything from now on.
    pub(super) fn attach(&mut self) -> io::Result<OwnedFd> {
        if self.attached.len() >= ATTACHED_MAX {
            return Err(io::Error::other("too many attached clients"));
        }
        let (reader, writer) = io::pipe()?;
        let writer: OwnedFd = writer.into();
        set_nonblocking(&writer)?;
        self.attached.push(Attached { file: writer.into(), pending: Vec::new() });
        Ok(reader.into())
    }

    /// Whether the stream should be read, or a client be waited for first.
    pub(super) fn wants_input(&self) -> bool {
        self.attached.iter().all(|attached| attached.pending.is_empty())
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Clients' pipes that are waited for.
    pub(super) fn full_pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.attached.iter().filter(|attached| !attached.pending.is_empty()).map(|attached| attached.file.as_fd())
    }

    /// Reads what there is. Returns `false` when the stream has ended.
    pub(super) fn pump(&mut self, log: Option<&mut Log>) -> bool {
        self.flush();
        if !self.wants_input() {
            return true;
        }
        let mut buffer = [0; READ_BYTES];
        match self.file.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.distribute(&buffer[..length], log);
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// After the stream has ended: logs the last line if it has no end.
    pub(super) fn finish(&mut self, log: Option<&mut Log>) {
        if let Some(log) = log {
            self.lines.finish(Timestamp::now(), log);
        }
    }

    fn distribute(&mut self, bytes: &[u8], log: Option<&mut Log>) {
        if let Some(log) = log {
            self.lines.push(bytes, Timestamp::now(), log);
        }
        for attached in &mut self.attached {
            attached.pending.extend_from_slice(bytes);
        }
        self.flush();
    }

    /// Gives the clients what they take; one that is gone is forgotten.
    fn flush(&mut self) {
        self.attached.retain_mut(|attached| {
            while !attached.pending.is_empty() {
                match attached.file.write(&attached.pending) {
                    Ok(0) => return false,
                    Ok(length) => drop(attached.pending.drain(..length)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
            true
        });
    }
}

pub(super) fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
    fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
