//! What the server and the shims say to each other: JSON messages over `SOCK_SEQPACKET` sockets, descriptors beside
//! them.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use minato_linux::passing;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No message is longer; the longest carry a command. Below the kernel's default limit for one packet.
const MESSAGE_BYTES_MAX: usize = 160 << 10;

/// The server to the shim of a container, over its `shim.sock`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Keep the connection open until the container has ended.
    Watch,
    /// Send a signal to the container's init.
    Signal(i32),
    /// Kill every process of the container.
    Kill,
    /// Hand out the container's streams.
    Attach,
    /// Open the log file anew.
    ReopenLog,
}

/// The shim's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Done,
    /// Descriptors come in this order, those that are `true`.
    Streams {
        stdin: bool,
        stdout: bool,
        stderr: bool,
        terminal: bool,
    },
    Failed(String),
}

/// The server to a shim that is to run a command in a container, over the shim's standard input. With it come
/// descriptors for stdin, stdout and stderr, unless there is a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecOrder {
    /// The container's directory.
    pub(crate) container: std::path::PathBuf,
    pub(crate) command: Vec<String>,
    pub(crate) terminal: bool,
}

/// What a new shim reports to the server over its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The command runs. With a terminal and `exec`, its descriptor comes along.
    Started { pid: i32 },
    /// The command could not be run.
    Failed { message: String, exit_code: i32 },
    /// The command has ended (`exec` only).
    Exited { exit_code: i32 },
}

pub(crate) fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[RawFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
    }
    passing::send(socket, &bytes, descriptors).map(|_| ())
}

/// `None` is the end of the connection.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let (length, descriptors) = passing::receive(socket, &mut buffer)?;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&buffer[..length])?, descriptors)))
}
