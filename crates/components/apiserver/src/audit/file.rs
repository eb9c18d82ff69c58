//! The audit log as a file of JSON lines that is rotated, or as standard output.
//!
//! A thread of its own writes. Requests hand it their lines through a bounded queue; when that is full they wait, as
//! upstream's do: a line that was told is not lost.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use prometheus::IntCounter;

/// Lines that wait to be written.
const QUEUE_LINES: usize = 10_000;
const MIB: u64 = 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A file of events and how it is rotated.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// `-` is standard output, which is not rotated.
    pub path: PathBuf,
    /// Days that rotated files are kept; 0 for ever.
    pub age_days_max: u32,
    /// Rotated files that are kept; 0 for all.
    pub backups_max: usize,
    /// Megabytes after which the file is rotated; 0 for never.
    pub size_mib_max: u64,
    /// Whether rotated files are compressed.
    pub compress: bool,
    /// How a line is written.
    pub format: FileFormat,
}

/// `--audit-log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// The whole event.
    #[default]
    Json,
    /// One line of text for people, as before there were events.
    Legacy,
}

enum Message {
    Line(Bytes),
    /// Everything before this is to be written out; then it is dropped.
    Flush(#[allow(dead_code)] SyncSender<()>),
}

/// The writing end.
pub(super) struct Log {
    sender: SyncSender<Message>,
    errors: IntCounter,
    format: FileFormat,
}

impl Log {
    /// Opens the file and starts the thread, which ends with this.
    pub(super) fn open(options: FileOptions, errors: IntCounter) -> io::Result<Self> {
        let format = options.format;
        let mut target = Target::open(options)?;
        let (sender, receiver) = sync_channel(QUEUE_LINES);
        let failed = errors.clone();
        std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || run(&mut target, &receiver, &failed))?;
        Ok(Self { sender, errors, format })
    }

    pub(super) fn format(&self) -> FileFormat {
        self.format
    }

    pub(super) fn write(&self, line: Bytes) {
        if self.sender.send(Message::Line(line)).is_err() {
            self.errors.inc();
        }
    }

    /// Waits until everything written so far is with the system.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _ = written.recv();
        }
    }
}

fn run(target: &mut Target, receiver: &Receiver<Message>, errors: &IntCounter) {
    while let Ok(first) = receiver.recv() {
        let mut waiting = vec![first];
        // What has come meanwhile is written together.
        loop {
            match receiver.try_recv() {
                Ok(message) if waiting.len() < QUEUE_LINES => waiting.push(message),
                Ok(message) => {
                    waiting.push(message);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let lines = waiting.iter().filter_map(|message| match message {
            Message::Line(line) => Some(line),
            Message::Flush(_) => None,
        });
        let mut result = Ok(());
        for line in lines {
            result = result.and_then(|()| target.write(line));
        }
        if let Err(error) = result.and_then(|()| target.flush()) {
            errors.inc();
            tracing::error!(%error, path = %target.options.path.display(), "the audit log cannot be written");
        }
    }
}

/// What is written to.
struct Target {
    options: FileOptions,
    output: BufWriter<Box<dyn Write + Send>>,
    /// In the current file.
    bytes: u64,
}

impl Target {
    fn open(options: FileOptions) -> io::Result<Self> {
        let (output, bytes) = open(&options.path)?;
        Ok(Self { options, output, bytes })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64 + 1;
        let limit = self.options.size_mib_max * MIB;
        if limit > 0 && self.bytes > 0 && self.bytes + length > limit && !is_stdout(&self.options.path) {
            self.rotate()?;
        }
        self.output.write_all(line)?;
        self.output.write_all(b"\n")?;
        self.bytes += length;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Puts the file aside, begins a new one and takes away what is too old or too much.
    fn rotate(&mut self) -> io::Result<()> {
        self.output.flush()?;
        let path = self.options.path.clone();
        fs::rename(&path, backup_name(&path, Timestamp::now()))?;
        (self.output, self.bytes) = open(&path)?;
        self.clean_up()
    }

    fn clean_up(&self) -> io::Result<()> {
        let mut backups = backups(&self.options.path)?;
        // Names hold the time: the newest first.
        backups.sort();
        backups.reverse();
        let too_many = match self.options.backups_max {
            0 => Vec::new(),
            most => backups.split_off(backups.len().min(most)),
        };
        let oldest = DAY * self.options.age_days_max;
        let is_old = |path: &PathBuf| {
            let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
            self.options.age_days_max > 0 && age.is_some_and(|age| age > oldest)
        };
        let (old, kept): (Vec<_>, Vec<_>) = backups.into_iter().partition(is_old);
        for path in too_many.iter().chain(&old) {
            fs::remove_file(path)?;
        }
        if self.options.compress {
            kept.iter()
                .filter(|path| path.extension().is_none_or(|end| end != "gz"))
                .try_for_each(|path| compress(path))?;
        }
        Ok(())
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn open(path: &Path) -> io::Result<(BufWriter<Box<dyn Write + Send>>, u64)> {
    if is_stdout(path) {
        return Ok((BufWriter::new(Box::new(io::stdout())), 0));
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = File::options();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let bytes = file.metadata()?.len();
    Ok((BufWriter::new(Box::new(file)), bytes))
}

/// Name and extension of the file, with its dot.
fn parts(path: &Path) -> (String, String) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    (stem, extension.unwrap_or_default())
}

/// `audit-2026-01-31T12-00-00.000.log`, as lumberjack names it.
fn backup_name(path: &Path, now: Timestamp) -> PathBuf {
    let (stem, extension) = parts(path);
    path.with_file_name(format!("{stem}-{}{extension}", now.strftime("%Y-%m-%dT%H-%M-%S%.3f")))
}

fn backups(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, extension) = parts(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let time = plain.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
        let is_time = |text: &str| text.len() == 23 && text.bytes().all(|c| c.is_ascii_digit() || b"-T.".contains(&c));
        if time.is_some_and(is_time) {
            found.push(directory.join(name));
        }
    }
    Ok(found)
}

fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut encoder = GzEncoder::new(options.open(&name)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let errors = IntCounter::new("errors", "errors").unwrap();
        let options = FileOptions {
            path: path.clone(),
            age_days_max: 1,
            backups_max: 2,
            size_mib_max: 1,
            compress: true,
            format: FileFormat::Json,
        };
        let line = Bytes::from("x".repeat(400_000));
        let mut target = Target::open(options.clone()).unwrap();
        for _ in 0..12 {
            target.write(&line).unwrap();
            // Backups are named by the millisecond.
            std::thread::sleep(Duration::from_millis(2));
        }
        target.flush().unwrap();
        let kept = backups(&path).unwrap();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.iter().all(|path| path.extension().is_some_and(|end| end == "gz")), "{kept:?}");
        drop(target);

        let log = Log::open(options, errors.clone()).unwrap();
        log.write(Bytes::from_static(b"last"));
        log.flush();
        assert!(fs::read_to_string(&path).unwrap().ends_with("\nlast\n"));
        assert_eq!(errors.get(), 0);
    }
}
