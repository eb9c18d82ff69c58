//! One server per data directory.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::OpenError;

/// The directory is ours while this lives. The kernel lets go when the process ends, however it does.
pub(super) struct DirectoryLock {
    _file: File,
}

/// The process that has the store in `directory` open, if one has.
pub fn holder(directory: &Path) -> Option<u32> {
    let mut file = File::open(directory.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl DirectoryLock {
    /// Makes the directory if it is absent and locks it.
    pub(super) fn acquire(directory: &Path) -> Result<Self, OpenError> {
        let unusable = |path: &Path, source| OpenError::Directory { path: path.to_owned(), source };
        fs::create_dir_all(directory).map_err(|source| unusable(directory, source))?;
        let path = directory.join("lock");
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(|source| unusable(&path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::Locked { path: directory.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(&path, source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        // The pid only serves a message: a full disk must not keep the store from opening.
        if let Err(error) = write(&mut file) {
            tracing::warn!(path = %path.display(), %error, "cannot note the process id in the lock file");
        }
        Ok(Self { _file: file })
    }
}
