//! Key files: created once, atomically, readable by the owner alone.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a key file could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The file is there and cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not there and cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's content is not what it must be.
    #[error("{} does not hold {expected}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// One of two files that belong together is missing.
    #[error("{} is there but {} is missing; restore it from a backup, or remove both to make new ones", present.display(), missing.display())]
    HalfMissing {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("failed to make {what}: {reason}")]
    Generate {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}

/// The text of `path`; if the file is absent, the text that `make` returns, written there with mode 0600 first.
///
/// # Errors
/// [`PkiError::Read`], [`PkiError::Write`], or what `make` returns.
pub fn read_or_create(path: &Path, make: impl FnOnce() -> Result<String, PkiError>) -> Result<String, PkiError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = make()?;
            write_private(path, &text)?;
            Ok(text)
        }
        Err(source) => Err(PkiError::Read { path: path.to_owned(), source }),
    }
}

/// Writes `text` to `path` with mode 0600 so that a crash leaves the whole file or none.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let staged = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&staged)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&staged, path).map_err(failed)
}
