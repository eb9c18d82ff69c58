//! The sockets on which questions come. Several processes may hold them: what has come is not lost when one ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

const BIND_ATTEMPTS_MAX: usize = 16;

/// A UDP and a TCP socket on one port, both non-blocking.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

impl Sockets {
    /// Binds `port`, if it is free (0: none is wanted), else some port that is free for both TCP and UDP.
    pub(crate) fn bind(ip: Ipv4Addr, port: u16) -> io::Result<Self> {
        let mut wanted = port;
        let mut last = io::Error::other("no attempt");
        for _ in 0..BIND_ATTEMPTS_MAX {
            match Self::bind_once(ip, wanted) {
                Ok(sockets) => return Ok(sockets),
                Err(error) => last = error,
            }
            wanted = 0;
        }
        Err(last)
    }

    fn bind_once(ip: Ipv4Addr, port: u16) -> io::Result<Self> {
        let tcp = TcpListener::bind(SocketAddrV4::new(ip, port))?;
        let udp = UdpSocket::bind(tcp.local_addr()?)?;
        Self::of(udp, tcp)
    }

    fn of(udp: UdpSocket, tcp: TcpListener) -> io::Result<Self> {
        let address = udp.local_addr()?;
        if tcp.local_addr()? != address {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the sockets have different addresses"));
        }
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { address, udp, tcp })
    }

    /// From descriptors, in the order of [`Self::descriptors`].
    pub(crate) fn received(descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        match <[OwnedFd; 2]>::try_from(descriptors) {
            Ok([udp, tcp]) => Self::of(udp.into(), tcp.into()),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "two sockets were expected")),
        }
    }

    pub(crate) fn descriptors(&self) -> [RawFd; 2] {
        [self.udp.as_raw_fd(), self.tcp.as_raw_fd()]
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { address: self.address, udp: self.udp.try_clone()?, tcp: self.tcp.try_clone()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_given_up_for_another() {
        let first = Sockets::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
        let second = Sockets::bind(Ipv4Addr::LOCALHOST, first.address.port()).unwrap();
        assert_ne!(first.address, second.address);
        let port = first.address.port();
        drop(first);
        assert_eq!(Sockets::bind(Ipv4Addr::LOCALHOST, port).unwrap().address.port(), port);
    }
}
