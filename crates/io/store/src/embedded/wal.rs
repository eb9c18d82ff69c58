//! Looks at a write-ahead log before SQLite does.
//!
//! SQLite reads a log up to the first frame whose checksum is wrong and silently drops the rest: right for the torn end
//! that a power cut leaves, wrong for a flipped byte in the middle, which would undo acknowledged writes. With
//! `synchronous=FULL` a transaction is synced before the next one begins, so at most the last one can be torn: when a
//! commit is followed by more frames after the point where the checksums end, the log is damaged.
//!
//! Format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// The log as far as it can be trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wal {
    /// Absent, empty, or sound up to where the last write ended.
    Sound,
    /// Acknowledged writes cannot be read any more.
    Damaged(String),
}

/// Reads the log at `path`. Changes nothing.
pub(super) fn inspect(path: &Path) -> io::Result<Wal> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Wal::Sound),
        Err(error) => return Err(error),
    };
    inspect_frames(BufReader::with_capacity(1 << 20, file))
}

fn inspect_frames(mut reader: impl Read) -> io::Result<Wal> {
    let mut header = [0; HEADER_BYTES];
    if !read_whole(&mut reader, &mut header)? {
        return Ok(Wal::Sound);
    }
    let words: [u32; HEADER_BYTES / 4] = std::array::from_fn(|index| word(&header, index));
    let [magic, _, page_bytes, _, salt_1, salt_2, ..] = words;
    let sums = Sums { big_endian: magic & 1 == 1, values: (0, 0) }.add(&header[..24]);
    let plausible = magic & !1 == MAGIC && (512..=65536).contains(&page_bytes) && page_bytes.is_power_of_two();
    if !plausible || sums.values != (words[6], words[7]) {
        // An empty log's header may be torn; it is synced before any frame follows.
        let mut next = [0; FRAME_HEADER_BYTES];
        return Ok(match read_whole(&mut reader, &mut next)? {
            true => Wal::Damaged("the header of the write-ahead log is not what was written".to_owned()),
            false => Wal::Sound,
        });
    }
    let mut frames = Frames { sums, salts: (salt_1, salt_2), broken_at: None, commit_seen: false };
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    let mut number = 1;
    while read_whole(&mut reader, &mut frame)? {
        if let Some(broken) = frames.step(number, &frame) {
            return Ok(Wal::Damaged(format!("frame {broken} of the write-ahead log is not what was written")));
        }
        number += 1;
    }
    Ok(Wal::Sound)
}

struct Frames {
    sums: Sums,
    salts: (u32, u32),
    /// The first frame that does not check out.
    broken_at: Option<u32>,
    /// Whether a transaction of this round ends at or after the broken frame.
    commit_seen: bool,
}

impl Frames {
    /// Takes the next frame in; tells the broken one once damage is certain.
    fn step(&mut self, number: u32, frame: &[u8]) -> Option<u32> {
        let (header, _) = frame.split_at(FRAME_HEADER_BYTES);
        // Frames of an earlier round of the log, not overwritten yet, carry other salts.
        let ours = (word(header, 2), word(header, 3)) == self.salts;
        let commits = word(header, 1) != 0;
        match self.broken_at {
            None => {
                let sums = self.sums.add(&frame[..8]).add(&frame[FRAME_HEADER_BYTES..]);
                match ours && sums.values == (word(header, 4), word(header, 5)) {
                    true => self.sums = sums,
                    false => {
                        self.broken_at = Some(number);
                        self.commit_seen = ours && commits;
                    }
                }
                None
            }
            Some(broken) if ours => {
                let certain = self.commit_seen;
                self.commit_seen |= commits;
                certain.then_some(broken)
            }
            Some(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Sums {
    big_endian: bool,
    values: (u32, u32),
}

impl Sums {
    fn add(self, bytes: &[u8]) -> Self {
        let (pairs, _) = bytes.as_chunks::<8>();
        let (mut first, mut second) = self.values;
        for [a, b, c, d, e, f, g, h] in pairs.iter().copied() {
            let (left, right) = match self.big_endian {
                true => (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])),
                false => (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])),
            };
            first = first.wrapping_add(left).wrapping_add(second);
            second = second.wrapping_add(right).wrapping_add(first);
        }
        Self { values: (first, second), ..self }
    }
}

fn word(bytes: &[u8], index: usize) -> u32 {
    let at = bytes.get(index * 4..).and_then(|rest| rest.first_chunk());
    at.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
