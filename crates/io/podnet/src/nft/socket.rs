//! The netfilter socket: sends a transaction or a request, waits for the answer.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::batch::Encoded;
use super::wire::{self, Message};

/// Ten thousand services with three endpoints each are about 6 MB in one transaction.
const SEND_BUFFER_BYTES: usize = 64 << 20;
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The kernel answers at once; this only keeps a broken one from blocking us for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a listing that was disturbed by a change is started over.
const DUMP_ATTEMPTS_MAX: usize = 10;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const DUMP_INTERRUPTED: u16 = 0x10;
const TEXT_FOLLOWS: u16 = 0x200;

/// Why the kernel's packet filter did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// No netfilter socket: no privilege, or a kernel without nftables.
    #[error("failed to open a netfilter socket")]
    Open(#[source] io::Error),
    /// The socket failed.
    #[error("failed to exchange messages with the packet filter")]
    Exchange(#[source] io::Error),
    /// The kernel refused one step of a transaction; nothing of it happened.
    #[error("the packet filter refused to {step}{}", text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What the step was to do.
        step: String,
        /// What the kernel had to say about it, if anything.
        text: Option<String>,
        /// The error's number.
        source: io::Error,
    },
    /// A listing was disturbed by changes again and again.
    #[error("the packet filter kept changing while {what} was read")]
    Unsteady {
        /// What was read.
        what: String,
    },
}

impl NftError {
    /// Whether the kernel refused with this error number.
    pub(crate) fn is(&self, code: i32) -> bool {
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(code))
    }
}

/// A netfilter socket of the namespace in which it was opened.
pub(crate) struct NetfilterSocket {
    socket: Socket,
    sequence: u32,
}

impl std::fmt::Debug for NetfilterSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetfilterSocket").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl NetfilterSocket {
    pub(crate) fn open() -> Result<Self, NftError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER_BYTES)?;
            setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
            let timeout = TimeVal::new(ANSWER_TIMEOUT.as_secs().cast_signed(), 0);
            setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
            Ok(socket)
        };
        Ok(Self { socket: open().map_err(NftError::Open)?, sequence: 1 })
    }

    /// The number the next transaction's first message has to carry.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.sequence
    }

    /// Sends a transaction and waits until it is done, or refused as a whole.
    pub(crate) fn commit(&mut self, batch: &Encoded) -> Result<(), NftError> {
        self.sequence = batch.last_sequence.wrapping_add(2);
        self.send(&batch.bytes)?;
        let mut refused = None;
        loop {
            let datagram = self.receive()?;
            for message in wire::messages(&datagram).filter(|message| message.kind == ERROR) {
                // Answers to an earlier transaction may still be waiting in the socket.
                let index = message.sequence.wrapping_sub(batch.first_sequence);
                if index > batch.last_sequence.wrapping_sub(batch.first_sequence) {
                    continue;
                }
                let (code, text) = read_error(message);
                if code != 0 && refused.is_none() {
                    let step = batch.step(message.sequence);
                    refused = Some(NftError::Refused { step, text, source: io::Error::from_raw_os_error(-code) });
                }
                if index == 0 || message.sequence == batch.last_sequence {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends a request for a listing (made by `request` for a number) and hands each answer's payload to `read`, which
    /// starts over with `read(None)`.
    pub(crate) fn list(
        &mut self,
        what: &str,
        request: impl Fn(u32) -> Vec<u8>,
        mut read: impl FnMut(Option<Message<'_>>),
    ) -> Result<(), NftError> {
        for _ in 0..DUMP_ATTEMPTS_MAX {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            self.send(&request(sequence))?;
            read(None);
            if self.read_list(what, sequence, &mut read)? {
                return Ok(());
            }
        }
        Err(NftError::Unsteady { what: what.to_owned() })
    }

    /// False: the listing was disturbed.
    fn read_list(
        &mut self,
        what: &str,
        sequence: u32,
        read: &mut impl FnMut(Option<Message<'_>>),
    ) -> Result<bool, NftError> {
        let mut steady = true;
        loop {
            let datagram = self.receive()?;
            for message in wire::messages(&datagram).filter(|message| message.sequence == sequence) {
                steady &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    ERROR | DONE => {
                        let (code, text) = read_error(message);
                        if code == 0 {
                            return Ok(steady);
                        }
                        let source = io::Error::from_raw_os_error(-code);
                        if code == -libc::EINTR {
                            return Ok(false);
                        }
                        return Err(NftError::Refused { step: format!("list {what}"), text, source });
                    }
                    _ => read(Some(message)),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NftError> {
        self.socket.send(bytes, 0).map(drop).map_err(NftError::Exchange)
    }

    fn receive(&self) -> Result<Vec<u8>, NftError> {
        self.socket.recv_from_full().map(|(bytes, _)| bytes).map_err(NftError::Exchange)
    }
}

/// The (negative) error number, zero for an acknowledgement, and the kernel's words.
fn read_error(message: Message<'_>) -> (i32, Option<String>) {
    let code = message.payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    // struct nlmsgerr: the number, then the header of the refused message, then attributes.
    let attributes = message.payload.get(4 + wire::HEADER..).filter(|_| message.flags & TEXT_FOLLOWS != 0);
    let text = attributes.and_then(|attributes| wire::attribute(attributes, 1)).and_then(|text| {
        let text = std::str::from_utf8(text).ok()?;
        Some(text.trim_end_matches('\0').to_owned())
    });
    (code, text)
}
