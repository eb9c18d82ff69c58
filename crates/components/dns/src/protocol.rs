//! What the server and the resolver say to each other: JSON messages over `SOCK_SEQPACKET` sockets, descriptors beside
//! them.
//!
//! | server | resolver |
//! |---|---|
//! | `Serve` and the sockets, first to a new process | |
//! | `Hello`, first on a later connection | `Here` and the sockets |
//! | `Begin`, `Change`…, `Commit`: all there is | `Serving`, when that is what it answers by |
//! | `Change`: what is new | |
//! | `Retire` | ends when all its answers are given |
//!
//! Servers and resolvers of different releases meet in an upgrade: `Hello`, `Here` and `Retire` keep their form for ever,
//! the rest that of its [`PROTOCOL`].

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use minato_linux::passing;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket, socketpair,
    sockopt::PeerCredentials,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::names::Change;

/// The form of the messages.
pub(crate) const PROTOCOL: u32 = 1;
/// Below the kernel's default limit for one packet. The longest tells of a slice with its thousand endpoints.
const MESSAGE_BYTES_MAX: usize = 160 << 10;
/// Where a resolver listens, in its directory.
pub(crate) const SOCKET: &str = "resolver.sock";

/// The server to the resolver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Serve(Settings),
    Hello,
    Begin,
    Change(Change),
    Commit,
    Retire,
}

/// The resolver to the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    Here { protocol: u32, settings: Settings },
    Serving,
}

/// What a resolver is for; it does not change in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) cluster_domain: String,
    /// The resolver's own addresses, which it must not ask.
    pub(crate) own: Vec<IpAddr>,
    pub(crate) resolv_conf: PathBuf,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: AsyncFd<OwnedFd>,
}

impl Link {
    /// Both ends of a new connection; the other one is for a child's standard input.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self::new(ours)?, theirs))
    }

    /// Connects to the resolver of a directory.
    pub(crate) fn connect(directory: &Path) -> io::Result<Self> {
        let directory = File::open(directory)?;
        // A socket's name is limited to 108 bytes, the directory's is not.
        let name = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(name.as_str())?)?;
        Self::new(socket)
    }

    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&socket)?;
        Ok(Self { socket: minato_linux::readiness::watch(socket)? })
    }

    /// Process and user at the other end.
    pub(crate) fn peer(&self) -> io::Result<(i32, u32)> {
        let credentials = getsockopt(self.socket.get_ref(), PeerCredentials)?;
        Ok((credentials.pid(), credentials.uid()))
    }

    pub(crate) async fn send<T: Serialize>(&self, message: &T, descriptors: &[RawFd]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        self.socket.async_io(Interest::WRITABLE, |socket| passing::send(socket, &bytes, descriptors).map(|_| ())).await
    }

    /// `None`: the other end has hung up. A message that is received is never lost by dropping the future.
    pub(crate) async fn receive<T: DeserializeOwned>(
        &self,
        buffer: &mut Buffer,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let received = self.socket.async_io(Interest::READABLE, |socket| passing::receive(socket, &mut buffer.0)).await;
        decode(received, buffer)
    }
}

/// Room for one message.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; MESSAGE_BYTES_MAX])
    }
}

/// Waits for a message without a runtime.
pub(crate) fn receive_blocking<T: DeserializeOwned>(
    socket: &OwnedFd,
    buffer: &mut Buffer,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    decode(passing::receive(socket, &mut buffer.0), buffer)
}

fn decode<T: DeserializeOwned>(
    received: io::Result<(usize, Vec<OwnedFd>)>,
    buffer: &Buffer,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    match received {
        Ok((0, _)) => Ok(None),
        Ok((length, descriptors)) => Ok(Some((serde_json::from_slice(&buffer.0[..length])?, descriptors))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error),
    }
}

/// Listens in a directory, in the place of whoever did so before.
pub(crate) fn listen_in(directory: &Path) -> io::Result<OwnedFd> {
    let staged = directory.join("resolver.sock.new");
    let _ = std::fs::remove_file(&staged);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(&staged)?)?;
    listen(&listener, Backlog::new(16)?)?;
    std::fs::rename(staged, directory.join(SOCKET))?;
    Ok(listener)
}

fn set_nonblocking(socket: &OwnedFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(socket.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}
