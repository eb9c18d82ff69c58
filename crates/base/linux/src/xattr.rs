//! Extended attributes of open files.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Sets an extended attribute.
///
/// # Errors
/// When the file system does not support it, or we may not.
pub fn set(file: impl AsFd, name: &str, value: &[u8]) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name is zero-terminated, the value is as long as we say, both live until the call returns.
    let result =
        unsafe { libc::fsetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
