//! Terminals: their size.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Sets the size of a terminal, in characters; its foreground processes get SIGWINCH.
///
/// # Errors
/// When the descriptor is no terminal.
pub fn resize(terminal: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives until the call returns; the descriptor is borrowed, so open.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
