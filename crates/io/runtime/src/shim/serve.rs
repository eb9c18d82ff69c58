//! The shim's socket: signals, attaching, log rotation, and telling that the container has ended by hanging up.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::output::set_nonblocking;
use crate::protocol::{self, Request, Response};

/// Most connections at once; more are turned away.
const CLIENTS_MAX: usize = 64;

pub(super) struct Server {
    listener: OwnedFd,
    clients: Vec<OwnedFd>,
}

/// What a request is answered with, and descriptors to send along.
pub(super) type Answer = (Response, Vec<OwnedFd>);

impl Server {
    /// Listens at `shim.sock` in the current directory: the full path might be too long for a socket's name.
    pub(super) fn open() -> io::Result<Self> {
        let _ = std::fs::remove_file("shim.sock");
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(listener.as_raw_fd(), &UnixAddr::new("shim.sock")?)?;
        listen(&listener, Backlog::new(16)?)?;
        Ok(Self { listener, clients: Vec::new() })
    }

    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clients.iter().map(|client| client.as_fd())
    }

    /// Takes new connections and answers the requests that have come.
    pub(super) fn serve(&mut self, mut answer: impl FnMut(Request) -> Answer) {
        while let Some(client) = self.accept() {
            if self.clients.len() < CLIENTS_MAX && set_nonblocking(&client).is_ok() {
                self.clients.push(client);
            }
        }
        self.clients.retain(|client| {
            loop {
                match protocol::receive::<Request>(client) {
                    Ok(None) => return false,
                    Ok(Some((request, _))) => {
                        let (response, descriptors) = answer(request);
                        let raw: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
                        if protocol::send(client, &response, &raw).is_err() {
                            return false;
                        }
                    }
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                }
            }
        });
    }

    fn accept(&self) -> Option<OwnedFd> {
        minato_linux::passing::accept(&self.listener).ok()
    }
}
