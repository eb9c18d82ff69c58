//! The server's ends of the sockets to shims.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::protocol;

/// A connection to a shim.
pub(super) struct Link(AsyncFd<OwnedFd>);

impl Link {
    /// Both ends of a new connection; the other one is for a child's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self::new(ours)?, theirs))
    }

    /// Connects to the `shim.sock` in `directory`.
    pub(super) fn connect(directory: &Path) -> io::Result<Self> {
        let directory = File::open(directory)?;
        // A socket's name is limited to 108 bytes, the directory's is not.
        let name = format!("/proc/self/fd/{}/shim.sock", directory.as_raw_fd());
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        // A local connection is made at once or refused: the shim's backlog is longer than the server's requests.
        connect(socket.as_raw_fd(), &UnixAddr::new(name.as_str())?)?;
        Self::new(socket)
    }

    fn new(socket: OwnedFd) -> io::Result<Self> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(socket.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self(minato_linux::readiness::watch(socket)?))
    }

    pub(super) async fn send<T: Serialize>(&self, message: &T, descriptors: &[RawFd]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |socket| protocol::send(socket, message, descriptors)).await
    }

    /// `None`: the shim has hung up.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        match self.0.async_io(Interest::READABLE, |socket| protocol::receive(socket)).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            result => result,
        }
    }
}
