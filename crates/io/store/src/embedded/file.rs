//! The SQLite file: what is in it, how it is written, and how damage is found.
//!
//! - `objects` has a row per object. The revision that created an object is its row number, so a write needs no index.
//!   Each row carries a CRC-32 of everything in it.
//! - `totals` has one row, rewritten in every transaction: the last revision (a deletion leaves no other trace), the
//!   number of rows and the sum of a hash of all (creation, revision) pairs. Rows that went missing or are old versions
//!   show there.
//!
//! A file is opened only when its header says it is ours and of a known format, SQLite finds its pages sound, and every
//! checksum and the totals agree. Otherwise it is refused and left untouched.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use minato_mvcc::{Attributes, Database, Event, EventKind, Key, Object, Revision};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, params};

use super::OpenError;
use super::seal::Sealer;
use super::wal::{self, Wal};
use crate::{BackupError, CommitError};

/// "MNTO": marks the file as ours.
const APPLICATION_ID: u32 = 0x4d4e_544f;
/// Raised whenever an older version could misread the file.
const FORMAT: u32 = 1;

const SCHEMA: &str = "
    CREATE TABLE objects (
        created INTEGER PRIMARY KEY,
        revision INTEGER NOT NULL,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        key_id INTEGER,
        checksum INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE totals (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        objects INTEGER NOT NULL,
        digest INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
";
const PUT: &str = "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const DELETE: &str = "DELETE FROM objects WHERE created = ?1";
const PUT_TOTALS: &str = "INSERT OR REPLACE INTO totals VALUES (1, ?1, ?2, ?3, ?4)";

const PAGE_BYTES: usize = 4096;
/// Once about this much is in the write-ahead log, it is moved into the database.
const WAL_BYTES_MAX: usize = 16 << 20;
/// Unused pages are given back to the file system when there are more than this and more than a quarter of all.
const SLACK_PAGES_MIN: i64 = 1024;
/// How many pages are given back in one transaction.
const SLACK_PAGES_STEP: u32 = 256;

/// What all rows together must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    revision: Revision,
    objects: u64,
    digest: u64,
}

impl Totals {
    fn add(&mut self, created: Revision, revision: Revision) {
        self.objects += 1;
        self.digest = self.digest.wrapping_add(mix(created, revision));
    }

    fn remove(&mut self, created: Revision, revision: Revision) {
        self.objects -= 1;
        self.digest = self.digest.wrapping_sub(mix(created, revision));
    }

    fn count(&mut self, event: &Event) {
        if let Some(previous) = &event.previous {
            self.remove(previous.created, previous.revision);
        }
        if event.kind != EventKind::Deleted {
            self.add(event.object.created, event.object.revision);
        }
        self.revision = event.revision;
    }

    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for word in [self.revision.0, self.objects, self.digest] {
            hasher.update(&word.to_le_bytes());
        }
        hasher.finalize()
    }

    fn write(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        let Self { revision, objects, digest } = *self;
        statement.execute(params![revision.0 as i64, objects as i64, digest as i64, self.checksum()])?;
        Ok(())
    }
}

/// The finaliser of SplitMix64 over both numbers: pairs that differ have sums that differ, but for one chance in 2^64.
fn mix(created: Revision, revision: Revision) -> u64 {
    let mut word = created.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ revision.0;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Everything of a row but its value: what a sealed value is bound to.
fn context(object: &Object) -> Vec<u8> {
    let Key { resource, namespace, name } = &object.key;
    let mut context = Vec::with_capacity(64);
    for word in [object.created.0, object.revision.0] {
        context.extend_from_slice(&word.to_le_bytes());
    }
    for text in [resource, namespace, name] {
        context.extend_from_slice(&(text.len() as u32).to_le_bytes());
        context.extend_from_slice(text.as_bytes());
    }
    context
}

fn checksum(context: &[u8], key_id: Option<u32>, stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(context);
    hasher.update(&key_id.map_or(0, |id| u64::from(id) + 1).to_le_bytes());
    hasher.update(stored);
    hasher.finalize()
}

/// A row was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("failed to seal {key}")]
    Seal { key: Key, source: super::seal::Unsealable },
}

fn put(statement: &mut Statement<'_>, object: &Object, sealer: &Sealer) -> Result<(), WriteError> {
    let context = context(object);
    let Key { resource, namespace, name } = &object.key;
    let key_id = sealer.key_for(resource);
    let seal = |id| sealer.seal(id, &context, &object.value);
    let sealed = key_id.map(seal).transpose().map_err(|source| WriteError::Seal { key: object.key.clone(), source })?;
    let stored = sealed.as_deref().unwrap_or(&object.value);
    statement.execute(params![
        object.created.0 as i64,
        object.revision.0 as i64,
        &**resource,
        &**namespace,
        &**name,
        key_id,
        checksum(&context, key_id, stored),
        stored,
    ])?;
    Ok(())
}

/// The open database.
pub(super) struct File {
    path: PathBuf,
    connection: Connection,
    totals: Totals,
    /// When objects were created that are sealed otherwise than they would be now.
    stale: Vec<Revision>,
    /// What the write-ahead log has taken in since it was last emptied; an estimate from above.
    wal_bytes: usize,
}

impl File {
    /// Opens or creates the database and hands every object to `each`, without attributes.
    pub(super) fn open(path: &Path, sealer: &Sealer, each: impl FnMut(Object)) -> Result<Self, OpenError> {
        let wal_path = wal_path(path);
        let has_log = std::fs::metadata(&wal_path).is_ok_and(|metadata| metadata.len() > 0);
        let stray_log = || {
            let detail = "the write-ahead log beside it belongs to another file".to_owned();
            OpenError::Damaged { path: path.to_owned(), detail }
        };
        if !path.exists() {
            // SQLite would play it into the new file.
            if has_log {
                return Err(stray_log());
            }
            create(path, std::iter::empty(), Totals::default(), sealer).map_err(|error| creation_error(path, error))?;
        }
        if inspect_header(path)? == Journal::Rollback && has_log {
            return Err(stray_log());
        }
        let inspected = wal::inspect(&wal_path);
        match inspected.map_err(|source| OpenError::Directory { path: wal_path, source })? {
            Wal::Sound => {}
            Wal::Damaged(detail) => return Err(OpenError::Damaged { path: path.to_owned(), detail }),
        }
        let failed = |source| database_error(path, source);
        let connection = connect(path).map_err(failed)?;
        let damage: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if damage != "ok" {
            return Err(OpenError::Damaged { path: path.to_owned(), detail: damage.replace('\n', " ") });
        }
        let mut stale = Vec::new();
        let totals = load(&connection, path, sealer, each, &mut stale)?;
        Ok(Self { path: path.to_owned(), connection, totals, stale, wal_bytes: 0 })
    }

    /// Writes those of `objects` anew, all or none, that are sealed otherwise than `sealer` would seal them.
    pub(super) fn reseal(&mut self, objects: &[Object], sealer: &Sealer) -> Result<(), OpenError> {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() {
            return Ok(());
        }
        let stale: std::collections::HashSet<Revision> = stale.into_iter().collect();
        let write = || -> Result<(), WriteError> {
            // What was readable must not stay in pages that are free now.
            self.connection.execute_batch("PRAGMA secure_delete = ON")?;
            let transaction = self.connection.unchecked_transaction()?;
            {
                let mut put_row = transaction.prepare(PUT)?;
                for object in objects.iter().filter(|object| stale.contains(&object.created)) {
                    put(&mut put_row, object, sealer)?;
                }
            }
            transaction.commit()?;
            Ok(self.connection.execute_batch("PRAGMA secure_delete = OFF")?)
        };
        write().map_err(|error| OpenError::Reseal { path: self.path.clone(), source: Box::new(error) })?;
        tracing::info!(path = %self.path.display(), objects = stale.len(), "sealed objects with their present keys");
        Ok(())
    }

    /// The last revision written.
    pub(super) fn revision(&self) -> Revision {
        self.totals.revision
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all events durably, or nothing. Of several versions of an object only the last is written.
    pub(super) fn write(
        &mut self,
        events: &[Arc<Event>],
        revision: Revision,
        sealer: &Sealer,
    ) -> Result<(), CommitError> {
        let mut totals = self.totals;
        events.iter().for_each(|event| totals.count(event));
        totals.revision = revision;
        write_batch(&self.connection, events, &totals, sealer).map_err(|error| commit_error(&self.path, error))?;
        self.totals = totals;
        let pages = |event: &Arc<Event>| event.object.value.len() / PAGE_BYTES + 2;
        self.wal_bytes += events.iter().map(pages).sum::<usize>() * PAGE_BYTES;
        Ok(())
    }

    /// Moves the write-ahead log into the database when it has grown. The log's space is used again from its start.
    pub(super) fn checkpoint_when_due(&mut self) {
        if self.wal_bytes < WAL_BYTES_MAX {
            return;
        }
        self.wal_bytes = 0;
        // Nothing is lost when it fails: the log stays, and the next time is soon.
        if let Err(error) = self.checkpoint("PASSIVE") {
            tracing::warn!(path = %self.path.display(), %error, "cannot move the write-ahead log into the database");
        }
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }

    /// Whether deletions left enough unused pages to give back.
    pub(super) fn has_slack(&self) -> bool {
        let pages = |pragma| self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let (Ok(free), Ok(all)) = (pages("PRAGMA freelist_count"), pages("PRAGMA page_count")) else { return false };
        free > SLACK_PAGES_MIN && free * 4 > all
    }

    /// Gives some unused pages back; false when that does not work now.
    pub(super) fn give_back_pages(&mut self) -> bool {
        let vacuum = || {
            let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({SLACK_PAGES_STEP})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok::<_, rusqlite::Error>(())
        };
        // The file shrinks when the log is moved into it.
        match vacuum().and_then(|()| if self.has_slack() { Ok(()) } else { self.checkpoint("TRUNCATE") }) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot give back unused pages");
                false
            }
        }
    }

    /// Leaves a single file behind.
    pub(super) fn close(self) {
        let closed = self.checkpoint("TRUNCATE").and_then(|()| self.connection.close().map_err(|(_, error)| error));
        if let Err(error) = closed {
            // The write-ahead log has everything.
            tracing::warn!(path = %self.path.display(), %error, "the database was not closed cleanly");
        }
    }
}

fn write_batch(
    connection: &Connection,
    events: &[Arc<Event>],
    totals: &Totals,
    sealer: &Sealer,
) -> Result<(), WriteError> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut put_row = transaction.prepare(PUT)?;
        let mut delete_row = transaction.prepare(DELETE)?;
        for event in last_of_each(events) {
            match event.kind {
                EventKind::Created | EventKind::Modified => put(&mut put_row, &event.object, sealer)?,
                EventKind::Deleted => {
                    delete_row.execute([event.object.created.0 as i64])?;
                }
            }
        }
        totals.write(&mut transaction.prepare(PUT_TOTALS)?)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Of each object the last event, in the order of creation: rows that are appended in order leave full pages behind.
fn last_of_each(events: &[Arc<Event>]) -> impl Iterator<Item = &Arc<Event>> {
    events.iter().map(|event| (event.object.created, event)).collect::<BTreeMap<_, _>>().into_values()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Exclusive: the directory is locked anyway, and the log's index then lives in our memory instead of a file.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 33554432;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Writes a new database at `path`: complete and synced, or not there.
fn create<'a>(
    path: &Path,
    objects: impl Iterator<Item = &'a Arc<Object>>,
    mut totals: Totals,
    sealer: &Sealer,
) -> Result<(), CreateError> {
    let draft = path.with_extension("new");
    let result = (|| {
        let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        drop(options.open(&draft)?);
        let connection = Connection::open(&draft)?;
        // No journal: if this fails the draft is thrown away.
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES};
             PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = OFF;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {FORMAT};
             BEGIN;
             {SCHEMA}"
        ))?;
        {
            let mut put_row = connection.prepare(PUT)?;
            for object in objects {
                put(&mut put_row, object, sealer)?;
                totals.add(object.created, object.revision);
            }
            totals.write(&mut connection.prepare(PUT_TOTALS)?)?;
        }
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, error)| error)?;
        std::fs::File::open(&draft)?.sync_all()?;
        std::fs::rename(&draft, path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(directory)?.sync_all()?;
        Ok(())
    })();
    if result.is_err() {
        // The error counts, not whether its remains could be removed.
        let _ = std::fs::remove_file(&draft);
    }
    result
}

#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes a backup: a database of its own, with everything in `database`.
pub(super) fn write_copy(path: &Path, database: &Database, sealer: &Sealer) -> Result<Revision, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists { path: path.to_owned() });
    }
    let totals = Totals { revision: database.revision(), ..Totals::default() };
    create(path, database.objects(), totals, sealer)
        .map_err(|error| BackupError::Write { path: path.to_owned(), source: Box::new(error) })?;
    Ok(database.revision())
}

fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// How a file was last written: a store in use has a write-ahead log, a new one or a backup has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    Rollback,
    WriteAhead,
}

/// Checks the first page without SQLite, which would change what it does not understand.
fn inspect_header(path: &Path) -> Result<Journal, OpenError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const HEADER_BYTES: usize = 100;
    const USER_VERSION_AT: usize = 60;
    const APPLICATION_ID_AT: usize = 68;
    let foreign = |detail: &str| OpenError::Foreign { path: path.to_owned(), detail: detail.to_owned() };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    std::fs::File::open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(foreign("not an SQLite database, or its first bytes are damaged"));
    }
    let word = |at: usize| header.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_be_bytes(*bytes));
    if word(APPLICATION_ID_AT) != Some(APPLICATION_ID) {
        return Err(foreign("an SQLite database of another application"));
    }
    // SQLite takes other numbers for a file that it may read but not write.
    let journal = match header.get(18..20) {
        Some([1, 1]) => Journal::Rollback,
        Some([2, 2]) => Journal::WriteAhead,
        _ => {
            let detail = "its header is not what was written".to_owned();
            return Err(OpenError::Damaged { path: path.to_owned(), detail });
        }
    };
    match word(USER_VERSION_AT) {
        Some(FORMAT) => Ok(journal),
        found if found > Some(FORMAT) => {
            Err(OpenError::Newer { path: path.to_owned(), found: found.unwrap_or_default(), supported: FORMAT })
        }
        _ => Err(foreign("its format number is damaged")),
    }
}

fn load(
    connection: &Connection,
    path: &Path,
    sealer: &Sealer,
    mut each: impl FnMut(Object),
    stale: &mut Vec<Revision>,
) -> Result<Totals, OpenError> {
    let failed = |source| database_error(path, source);
    let damaged = |detail: String| OpenError::Damaged { path: path.to_owned(), detail };
    let mut found = Totals::default();
    let mut statement = connection.prepare("SELECT * FROM objects").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (object, key_id) = read_row(row, path, sealer)?;
        if key_id != sealer.key_for(&object.key.resource) {
            stale.push(object.created);
        }
        found.add(object.created, object.revision);
        found.revision = found.revision.max(object.revision);
        each(object);
    }
    let read_totals = "SELECT revision, objects, digest, checksum FROM totals";
    let (totals, checksum) = connection
        .query_row(read_totals, [], |row| {
            let [revision, objects, digest] = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?].map(|word| word as u64);
            Ok((Totals { revision: Revision(revision), objects, digest }, row.get::<_, u32>(3)?))
        })
        .map_err(|error| damaged(format!("the totals cannot be read ({error})")))?;
    if totals.checksum() != checksum {
        return Err(damaged("the totals are not what was written".to_owned()));
    }
    if found.revision > totals.revision || (Totals { revision: totals.revision, ..found }) != totals {
        let (found, expected) = (found.objects, totals.objects);
        return Err(damaged(format!("{found} objects are there, which are not the {expected} that were written")));
    }
    Ok(totals)
}

fn read_row(row: &rusqlite::Row<'_>, path: &Path, sealer: &Sealer) -> Result<(Object, Option<u32>), OpenError> {
    let damaged = |detail: String| OpenError::Damaged { path: path.to_owned(), detail };
    let unreadable = |error: rusqlite::Error| damaged(format!("a row cannot be read ({error})"));
    let created: i64 = row.get(0).map_err(unreadable)?;
    let read = || -> rusqlite::Result<_> {
        let text = |index| row.get::<_, String>(index);
        let key = Key::new(text(2)?, text(3)?, text(4)?);
        let stored = row.get_ref(7)?.as_blob().map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok((row.get::<_, i64>(1)?, key, row.get::<_, Option<u32>>(5)?, row.get::<_, u32>(6)?, stored))
    };
    let (revision, key, key_id, expected, stored) =
        read().map_err(|error| damaged(format!("row {created} cannot be read ({error})")))?;
    let mut object = Object {
        key,
        revision: Revision(revision as u64),
        created: Revision(created as u64),
        value: Bytes::new(),
        attributes: Attributes::default(),
    };
    let context = context(&object);
    if checksum(&context, key_id, stored) != expected {
        return Err(damaged(format!("row {created} ({}) is not what was written", object.key)));
    }
    object.value = match key_id {
        None => Bytes::copy_from_slice(stored),
        Some(id) if !sealer.knows(id) => return Err(sealer.missing(id, path)),
        Some(id) => Bytes::from(
            sealer
                .unseal(id, &context, stored)
                .map_err(|_| damaged(format!("row {created} ({}) does not open with its key", object.key)))?,
        ),
    };
    Ok((object, key_id))
}

/// An error of the disk is told as it is. Any other means that the content makes no sense to SQLite.
fn database_error(path: &Path, source: rusqlite::Error) -> OpenError {
    use ErrorCode::{CannotOpen, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure};
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(CannotOpen | DiskFull | OutOfMemory | PermissionDenied | ReadOnly | SystemIoFailure) => {
            OpenError::Database { path, source }
        }
        _ => OpenError::Damaged { path, detail: source.to_string() },
    }
}

fn creation_error(path: &Path, error: CreateError) -> OpenError {
    match error {
        CreateError::Io(source) => OpenError::Directory { path: path.to_owned(), source },
        CreateError::Sqlite(source) | CreateError::Write(WriteError::Sqlite(source)) => {
            OpenError::Database { path: path.to_owned(), source }
        }
        CreateError::Write(error @ WriteError::Seal { .. }) => {
            OpenError::Directory { path: path.to_owned(), source: std::io::Error::other(error) }
        }
    }
}

fn commit_error(path: &Path, error: WriteError) -> CommitError {
    let path = path.to_owned();
    let code = match &error {
        WriteError::Sqlite(error) => error.sqlite_error_code(),
        WriteError::Seal { .. } => None,
    };
    match code {
        Some(ErrorCode::DiskFull) => CommitError::Full { path },
        Some(ErrorCode::ReadOnly) => CommitError::ReadOnly { path },
        _ => CommitError::Disk { path, source: Arc::new(error) },
    }
}
