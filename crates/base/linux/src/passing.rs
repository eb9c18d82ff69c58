//! Descriptors over Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, accept4, recvmsg, sendmsg};

/// Most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 4;

/// Sends `bytes`, and descriptors with them. `bytes` must not be empty.
///
/// # Errors
/// When the peer is gone, or the socket is full and non-blocking.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let slices = [IoSlice::new(bytes)];
    Ok(sendmsg::<()>(socket.as_fd().as_raw_fd(), &slices, control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives bytes into `buffer`, and the descriptors that came with them; they are closed on exec.
///
/// # Errors
/// When the socket fails, or is empty and non-blocking.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(rights) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nobody else knows their numbers.
            descriptors.extend(rights.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    Ok((message.bytes, descriptors))
}

/// Takes the next connection of a listening socket; it is closed on exec.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when there is none and the socket is non-blocking.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    let raw = accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made this descriptor for this process; nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&left, b"x", &[writer.as_raw_fd()]).unwrap();
        drop(writer);
        let mut buffer = [0; 8];
        let (length, mut descriptors) = receive(&right, &mut buffer).unwrap();
        assert_eq!((length, buffer[0], descriptors.len()), (1, b'x', 1));
        File::from(descriptors.remove(0)).write_all(b"hello").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "hello");
    }
}
