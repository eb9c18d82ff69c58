//! The embedded backend: one SQLite file, one writer thread, one fsync for everything that is queued.
//!
//! ```text
//!  commit().await ──bounded queue──► writer thread: draft (preconditions) ─► file (one transaction, fsync)
//!        ▲                                            │                            │
//!        └──────────────── reply ◄──── publish to Memory ◄─────────────────────────┘
//! ```
//!
//! The directory holds `objects.db` (and SQLite's `objects.db-wal` beside it) and `lock`. A server locks the directory
//! for as long as it runs. What a file must be to be opened, and how damage is found, is told in `file.rs`.

mod error;
mod file;
mod lock;
mod seal;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minato_mvcc::{Attributes, Memory, Object, Revision, Transaction};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::error::OpenError;
use self::file::File;
use self::lock::DirectoryLock;
pub use self::lock::holder;
use self::seal::Sealer;
use self::writer::{Request, Writer};
use crate::{Backend, BackupError, CommitError};

/// The database's name in the store's directory. A backup is a file of the same format.
pub const FILE_NAME: &str = "objects.db";

/// Derives from an object's resource and JSON what selectors look at.
pub type Extract = Arc<dyn Fn(&str, &[u8]) -> Attributes + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// Called for every object that is recovered.
    pub extract: Extract,
    /// Which resources are encrypted at rest; none by default.
    pub seal: Option<Seal>,
    /// Bounds of the watch history.
    pub memory: minato_mvcc::Options,
    /// The most transactions that wait for the writer. More make `commit` wait.
    pub queue_transactions_max: usize,
    /// The most bytes of JSON that wait for the writer; also the largest transaction.
    pub queue_bytes_max: u32,
    /// The most transactions that share an fsync.
    pub batch_transactions_max: usize,
}

impl Options {
    /// The defaults, with this `extract`.
    pub fn new(extract: impl Fn(&str, &[u8]) -> Attributes + Send + Sync + 'static) -> Self {
        Self {
            extract: Arc::new(extract),
            seal: None,
            memory: minato_mvcc::Options::default(),
            queue_transactions_max: 4096,
            queue_bytes_max: 64 << 20,
            batch_transactions_max: 1024,
        }
    }
}

/// Encryption at rest with AES-256-GCM.
#[derive(Debug, Clone)]
pub struct Seal {
    /// The file with the keys, best kept on another disk and in no backup of the data. It is created when it is
    /// absent and the store holds nothing sealed. The first line's key seals, all of them open.
    pub key_file: PathBuf,
    /// The resources that these keys seal, for example `core/secrets`.
    pub resources: Vec<String>,
    /// Keys for some resources; the first rule that names a resource decides, before `resources`.
    pub rules: Vec<SealRule>,
}

/// With which keys some resources are sealed.
#[derive(Debug, Clone)]
pub struct SealRule {
    /// `core/secrets`; `apps/*` for those of a group, `*` for all.
    pub resources: Vec<String>,
    /// Seals what is written; absent: that stays readable.
    pub sealed_by: Option<SealKey>,
    /// Open what was sealed before.
    pub opened_by: Vec<SealKey>,
}

/// A key of AES-256.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// The key that comes from a secret of any length; `purpose` keeps apart the keys of different uses of one secret.
    #[must_use]
    pub fn derived(purpose: &str, secret: &[u8]) -> Self {
        Self(seal::derive(purpose, secret))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

/// An open store. Dropping it lets the writer finish what is queued; [`Backend::close`] also waits for that.
pub struct Embedded {
    memory: Memory,
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    queue_bytes: Arc<Semaphore>,
    queue_bytes_max: u32,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    sealer: Arc<Sealer>,
}

/// Opens the store in `directory`, creating both if absent, and loads it into memory.
pub fn open(directory: &Path, options: Options) -> Result<Embedded, OpenError> {
    let lock = DirectoryLock::acquire(directory)?;
    let path = directory.join(FILE_NAME);
    let mut sealer = Sealer::open(options.seal.as_ref())?;
    let mut objects = Vec::new();
    let mut file = File::open(&path, &sealer, |object| objects.push(object))?;
    sealer.create_key_if_absent()?;
    file.reseal(&objects, &sealer)?;
    let sealer = Arc::new(sealer);
    extract_all(&mut objects, &*options.extract);
    let rows = objects.len();
    let (memory, publisher) = Memory::new(objects, file.revision(), options.memory);
    if memory.database().objects().count() != rows {
        return Err(OpenError::Damaged { path, detail: "an object is there twice".to_owned() });
    }

    let (sender, receiver) = mpsc::channel(options.queue_transactions_max);
    let writer = Writer::new(file, publisher, sealer.clone(), receiver, options.batch_transactions_max);
    let run = move || {
        writer.run();
        drop(lock);
    };
    let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(run);
    let thread = thread.map_err(|source| OpenError::Thread { source })?;
    Ok(Embedded {
        memory,
        queue: Mutex::new(Some(sender)),
        queue_bytes: Arc::new(Semaphore::new(options.queue_bytes_max as usize)),
        queue_bytes_max: options.queue_bytes_max,
        writer: Mutex::new(Some(thread)),
        sealer,
    })
}

/// Fills the attributes in, on all processors: parsing every object is most of the time that a start takes.
fn extract_all(objects: &mut [Object], extract: &(dyn Fn(&str, &[u8]) -> Attributes + Send + Sync)) {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let share = objects.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for part in objects.chunks_mut(share) {
            scope.spawn(|| {
                for object in part {
                    object.attributes = extract(&object.key.resource, &object.value);
                }
            });
        }
    });
}

#[async_trait::async_trait]
impl Backend for Embedded {
    async fn commit(&self, transaction: Transaction) -> Result<Vec<Arc<Object>>, CommitError> {
        let Some(queue) = self.queue.lock().clone() else { return Err(CommitError::Closed) };
        let bytes = transaction.operations.iter().map(|operation| operation.size()).sum();
        let too_large = || CommitError::TooLarge { bytes, bytes_max: self.queue_bytes_max as usize };
        let weight = u32::try_from(bytes).ok().filter(|bytes| *bytes <= self.queue_bytes_max).ok_or_else(too_large)?;
        let room = self.queue_bytes.clone().acquire_many_owned(weight).await.map_err(|_| CommitError::Closed)?;
        let (reply, result) = oneshot::channel();
        queue.send(Request { transaction, reply, _room: room }).await.map_err(|_| CommitError::Closed)?;
        drop(queue);
        result.await.map_err(|_| CommitError::Closed)?
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn backup(&self, path: &Path) -> Result<Revision, BackupError> {
        if self.queue.lock().is_none() {
            return Err(BackupError::Closed);
        }
        let (database, sealer, path) = (self.memory.database(), self.sealer.clone(), path.to_owned());
        let written = tokio::task::spawn_blocking(move || file::write_copy(&path, &database, &sealer)).await;
        written.map_err(|_| BackupError::Closed)?
    }

    async fn close(&self) {
        self.queue.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && let Ok(Err(_)) = tokio::task::spawn_blocking(move || writer.join()).await
        {
            tracing::error!("the store's writer panicked");
        }
    }
}
