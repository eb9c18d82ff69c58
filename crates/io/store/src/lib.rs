//! Durable storage under the in-memory state of [`minato_mvcc`].
//!
//! A [`Backend`] commits transactions: a write is acknowledged when it survives a crash, and only then do reads and
//! watches see it. Everything is read from [`Backend::memory`].
//!
//! [`embedded`] keeps everything in one SQLite file in a directory of its own. It holds the current version of each
//! object and the last revision, no history: watches of before a restart that were not up to date must list again.

pub mod embedded;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use minato_mvcc as mvcc;
use minato_mvcc::{Conflict, Key, Memory, Object, Revision, Transaction};

/// Where the cluster's state is kept.
#[async_trait::async_trait]
pub trait Backend: Send + Sync {
    /// Applies all of `transaction` durably, or nothing of it. Returns the objects written, as
    /// [`minato_mvcc::Draft::apply`] does.
    ///
    /// A future that is dropped leaves it open whether the transaction happens, but never half of it.
    async fn commit(&self, transaction: Transaction) -> Result<Vec<Arc<Object>>, CommitError>;

    /// What is committed.
    fn memory(&self) -> &Memory;

    /// Writes a copy of everything at one revision to `path`, without holding up commits. Returns that revision.
    async fn backup(&self, path: &Path) -> Result<Revision, BackupError>;

    /// Finishes what is under way and lets go of all files. Later commits fail with [`CommitError::Closed`].
    async fn close(&self);
}

/// A transaction was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A precondition did not hold.
    #[error("{key} is {}, not as expected", found.map_or("absent".to_owned(), |revision| format!("at revision {revision}")))]
    Conflict {
        /// The object.
        key: Key,
        /// The version stored there, if any.
        found: Option<Revision>,
    },
    /// The transaction is larger than the store takes.
    #[error("the transaction has {bytes} bytes, more than the {bytes_max} that fit")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The disk has no room. Commits succeed again when there is.
    #[error("no space left for {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk does not take writes.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed. Whether the transaction happened is known after a restart.
    #[error("failed to write {}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl From<Conflict> for CommitError {
    fn from(Conflict { key, found }: Conflict) -> Self {
        Self::Conflict { key, found }
    }
}

/// A backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something already. Backups never overwrite.
    #[error("{} exists already", path.display())]
    Exists {
        /// The path given.
        path: PathBuf,
    },
    /// The copy could not be written.
    #[error("failed to write the backup {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
