//! The leader's file: a line of JSON for the book's id, then one for each message, appended and flushed.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::message::{Excerpt, Message};

const FILE_NAME: &str = "guestbook.jsonl";

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} line {line} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, line: usize, source: serde_json::Error },
}

#[derive(Serialize, Deserialize)]
struct Header {
    book: String,
}

impl Journal {
    /// Opens the file in a directory and reads it; none yet gives none. A half line at its end, which a crash leaves
    /// behind, was never acknowledged and is cut off.
    pub(crate) fn open(directory: &Path) -> Result<Option<(Self, Excerpt)>, JournalError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| JournalError::File { path: path.clone(), source };
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole == 0 {
            return Ok(None); // not even the header: nothing was ever acknowledged
        }
        let mut excerpt = Excerpt::default();
        for (index, line) in content[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let damaged = |source| JournalError::Damaged { path: path.clone(), line: index + 1, source };
            if index == 0 {
                excerpt.book = serde_json::from_slice::<Header>(line).map_err(damaged)?.book;
            } else {
                excerpt.messages.push(serde_json::from_slice::<Message>(line).map_err(damaged)?);
            }
        }
        excerpt.last = excerpt.messages.last().map_or(0, |message| message.number);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(failed)?;
        Ok(Some((Self { file }, excerpt)))
    }

    /// Makes a new file with what is known so far.
    pub(crate) fn create(directory: &Path, known: &Excerpt) -> Result<Self, JournalError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| JournalError::File { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let staging = directory.join(format!("{FILE_NAME}.new"));
        let mut journal = Self { file: File::create(&staging).map_err(failed)? };
        let header = serde_json::to_vec(&Header { book: known.book.clone() }).map_err(|error| failed(error.into()))?;
        let messages = known.messages.iter().map(serde_json::to_vec);
        let lines = messages.collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.into()))?;
        journal.write(&[vec![header], lines].concat()).map_err(failed)?;
        std::fs::rename(&staging, &path).and_then(|()| File::open(directory)?.sync_all()).map_err(failed)?;
        Ok(journal)
    }

    /// Appends a message; when this returns, it is on disk.
    pub(crate) fn append(&mut self, message: &Message) -> io::Result<()> {
        let before = self.file.stream_position()?;
        let line = serde_json::to_vec(message)?;
        self.write(&[line]).inspect_err(|_| {
            // Half a line must not be continued. If even this fails, reopening cuts it off.
            let _ = self.file.set_len(before).and_then(|()| self.file.seek(io::SeekFrom::Start(before)));
        })
    }

    fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Draft;

    #[test]
    fn survives_reopening_and_half_lines() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        assert!(Journal::open(directory).unwrap().is_none());
        let message = |number| Draft { author: "a".into(), text: "line\nbreak".into() }.numbered(number);
        let known = Excerpt { book: "b".into(), last: 1, messages: vec![message(1)] };
        let mut journal = Journal::create(directory, &known).unwrap();
        journal.append(&message(2)).unwrap();
        let mut file = OpenOptions::new().append(true).open(directory.join(FILE_NAME)).unwrap();
        file.write_all(b"{\"number\":3,").unwrap();

        let (mut journal, excerpt) = Journal::open(directory).unwrap().unwrap();
        assert_eq!((excerpt.book.as_str(), excerpt.last, excerpt.messages.len()), ("b", 2, 2));
        journal.append(&message(3)).unwrap();
        let (_, excerpt) = Journal::open(directory).unwrap().unwrap();
        assert_eq!(excerpt.last, 3);

        std::fs::write(directory.join(FILE_NAME), "{\"book\":\"b\"}\nnonsense\n").unwrap();
        let error = Journal::open(directory).unwrap_err().to_string();
        assert!(error.contains("line 2 is damaged"), "{error}");
    }
}
