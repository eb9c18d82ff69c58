//! Container logs, in CRI's format: `2026-01-02T03:04:05.000000006Z stdout F the line`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Longer lines are split into partial ones.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A log file that can be opened anew.
pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)? })
    }

    /// After log rotation renamed the file.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) {
        // A full disk must not stop the container: the lines are lost, as with other runtimes.
        let _ = self.file.write_all(bytes);
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::options().create(true).append(true).mode(0o640).open(path)
}

/// Cuts one stream into lines.
pub(super) struct Lines {
    stream: Stream,
    /// The beginning of a line whose end has not come.
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Logs what is complete and keeps the rest.
    pub(super) fn push(&mut self, bytes: &[u8], now: Timestamp, log: &mut Log) {
        let mut out = Vec::with_capacity(bytes.len() + 128);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, complete) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let mut rest = line;
            while self.pending.len() + rest.len() > LINE_BYTES_MAX {
                let (head, tail) = rest.split_at(LINE_BYTES_MAX - self.pending.len());
                self.emit(now, "P", head, &mut out);
                rest = tail;
            }
            if complete {
                self.emit(now, "F", rest, &mut out);
            } else {
                self.pending.extend_from_slice(rest);
            }
        }
        log.write(&out);
    }

    /// Logs what is left when the stream has ended.
    pub(super) fn finish(&mut self, now: Timestamp, log: &mut Log) {
        if !self.pending.is_empty() {
            let mut out = Vec::new();
            self.emit(now, "P", b"", &mut out);
            log.write(&out);
        }
    }

    fn emit(&mut self, now: Timestamp, tag: &str, end: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{now:.9} {} {tag} ", self.stream.name()).as_bytes());
        out.append(&mut self.pending);
        out.extend_from_slice(end);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(chunks: &[&[u8]]) -> Vec<(String, usize)> {
        let path = std::env::temp_dir().join(format!("minato-log-{}-{:p}", std::process::id(), chunks));
        let _ = fs::remove_file(&path);
        let mut log = Log::open(&path).unwrap();
        let mut lines = Lines::new(Stream::Stdout);
        for chunk in chunks {
            lines.push(chunk, Timestamp::UNIX_EPOCH, &mut log);
        }
        lines.finish(Timestamp::UNIX_EPOCH, &mut log);
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let strip = |line: &str| line.strip_prefix("1970-01-01T00:00:00.000000000Z stdout ").unwrap().to_owned();
        text.lines().map(strip).map(|line| (line.chars().take(10).collect(), line.len() - 2)).collect()
    }

    #[test]
    fn lines_are_whole_partial_or_split() {
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        type Case<'a> = (&'a [&'a [u8]], Vec<(&'a str, usize)>);
        let cases: [Case<'_>; 6] = [
            (&[b"a\nb\n"], vec![("F a", 1), ("F b", 1)]),
            (&[b"a", b"b\n"], vec![("F ab", 2)]),
            (&[b"a"], vec![("P a", 1)]),
            (&[b"\n"], vec![("F ", 0)]),
            (&[], vec![]),
            (&[&long, b"\n"], vec![("P xxxxxxxx", LINE_BYTES_MAX), ("P xxxxxxxx", LINE_BYTES_MAX), ("F xxxxx", 5)]),
        ];
        for (chunks, expected) in cases {
            let expected: Vec<_> = expected.into_iter().map(|(start, length)| (start.to_owned(), length)).collect();
            assert_eq!(logged(chunks), expected);
        }
    }
}
