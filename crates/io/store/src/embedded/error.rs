//! Why a store cannot be opened, in words that tell the operator what to do.

use std::io;
use std::path::PathBuf;

/// A store was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or written.
    #[error("cannot write in the data directory {}", path.display())]
    Directory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {} is in use by {}", path.display(), pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who uses it.
        pid: Option<u32>,
    },
    /// The file is something else.
    #[error("{} is not a Minato store ({detail}); give another data directory, or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// The file was written by a newer version.
    #[error("{} has format {found}, this version of Minato reads formats up to {supported}; start the newer version, or restore a backup made by this one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that we know.
        supported: u32,
    },
    /// The file's content is not what was written.
    #[error(
        "{} is damaged: {detail}; it was left as it is. Restore a backup: move {} and {}-wal away, copy the backup to {} and start again",
        path.display(), path.display(), path.display(), path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Objects are sealed with a key we do not have.
    #[error("{} has objects sealed with key {key_id:08x}, which is not in {}; put the right key file there", path.display(), key_file.display())]
    KeyMissing {
        /// The database.
        path: PathBuf,
        /// The key file.
        key_file: PathBuf,
        /// The key's id.
        key_id: u32,
    },
    /// Objects are sealed, but no key file is configured.
    #[error("{} has sealed objects, but no key file is configured", path.display())]
    NotConfigured {
        /// The database.
        path: PathBuf,
    },
    /// Objects could not be written anew with the keys that are theirs now; they are as they were.
    #[error("failed to seal objects of {} with their present keys", path.display())]
    Reseal {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key file cannot be read or created.
    #[error("cannot use the key file {}", path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file is not one.
    #[error("{}, line {line}: not a sealing key", path.display())]
    KeyFileContent {
        /// The key file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The database cannot be read or written.
    #[error("cannot open {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer cannot be started.
    #[error("cannot start the store's writer thread")]
    Thread {
        /// Why.
        source: io::Error,
    },
}
