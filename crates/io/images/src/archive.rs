//! The outer form of an image: a tarball, perhaps compressed, or a directory. Either way: named parts to read.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::ImageError;

/// Manifests, indexes and configurations are small; anything bigger is not one.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
const PARTS_MAX: usize = 100_000;
const LINKS_MAX: usize = 8;

/// An image archive that is open for reading its parts.
pub(crate) struct Archive {
    path: PathBuf,
    form: Form,
}

enum Form {
    Directory,
    Tar { file: PathBuf, parts: HashMap<String, Part> },
}

enum Part {
    File { offset: u64, length: u64 },
    Link { target: String },
}

impl Archive {
    /// Opens a tarball or a directory. What cannot be read from any offset (compressed, a pipe) is first copied to
    /// `staging`.
    pub(crate) fn open(path: &Path, staging: &Path) -> Result<Self, ImageError> {
        let metadata = fs::metadata(path).map_err(ImageError::file("open", path))?;
        let path = path.to_owned();
        if metadata.is_dir() {
            return Ok(Self { path, form: Form::Directory });
        }
        let mut source = BufReader::new(File::open(&path).map_err(ImageError::file("open", &path))?);
        let damaged = |error: io::Error| ImageError::Archive { archive: path.clone(), reason: error.to_string() };
        let compressed = io::BufRead::fill_buf(&mut source).map_err(damaged)?.starts_with(&GZIP_MAGIC);
        let file = if compressed || !metadata.is_file() {
            let copy = staging.join("archive.tar");
            let mut target = File::create(&copy).map_err(ImageError::file("create", &copy))?;
            let mut reader: Box<dyn Read> =
                if compressed { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
            io::copy(&mut reader, &mut target).map_err(damaged)?;
            copy
        } else {
            path.clone()
        };
        let parts = list_parts(&path, &file)?;
        Ok(Self { path, form: Form::Tar { file, parts } })
    }

    /// The path the user gave.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.form {
            Form::Directory => self.path.join(name).is_file(),
            Form::Tar { parts, .. } => parts.contains_key(name),
        }
    }

    /// Reads one part from its beginning.
    pub(crate) fn reader(&self, name: &str) -> Result<Box<dyn Read>, ImageError> {
        match &self.form {
            Form::Directory => {
                if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
                    return Err(self.entry(name, "the path leaves the directory"));
                }
                let file = File::open(self.path.join(name)).map_err(|error| self.entry(name, &error.to_string()))?;
                Ok(Box::new(BufReader::with_capacity(READ_BYTES, file)))
            }
            Form::Tar { file, parts } => {
                let (offset, length) = self.find(parts, name)?;
                let mut file = File::open(file).map_err(ImageError::file("open", file))?;
                file.seek(SeekFrom::Start(offset)).map_err(|error| self.entry(name, &error.to_string()))?;
                Ok(Box::new(BufReader::with_capacity(READ_BYTES, file).take(length)))
            }
        }
    }

    /// Reads a whole JSON document.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let read = self.reader(name)?.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.entry(name, &error.to_string()))?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(self.entry(name, "larger than 8 MiB"));
        }
        Ok(bytes)
    }

    /// An error about one part.
    pub(crate) fn entry(&self, name: &str, reason: &str) -> ImageError {
        ImageError::Entry { archive: self.path.clone(), entry: name.to_owned(), reason: reason.to_owned() }
    }

    fn find(&self, parts: &HashMap<String, Part>, name: &str) -> Result<(u64, u64), ImageError> {
        let mut current = name.to_owned();
        for _ in 0..LINKS_MAX {
            match parts.get(&current) {
                Some(Part::File { offset, length }) => return Ok((*offset, *length)),
                Some(Part::Link { target }) => current.clone_from(target),
                None => return Err(self.entry(name, "missing from the archive")),
            }
        }
        Err(self.entry(name, "too many links"))
    }
}

pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const READ_BYTES: usize = 128 << 10;

/// Where each part of a tarball lies. Nothing is unpacked, so names need not be harmless; they are only compared.
fn list_parts(shown: &Path, file: &Path) -> Result<HashMap<String, Part>, ImageError> {
    let damaged = |reason: String| ImageError::Archive { archive: shown.to_owned(), reason };
    let length = fs::metadata(file).map_err(ImageError::file("read", file))?.len();
    let source = BufReader::new(File::open(file).map_err(ImageError::file("open", file))?);
    let mut parts = HashMap::new();
    let mut tar = tar::Archive::new(source);
    // The reader's own words would quote the file, which may be anything.
    let not_tar = |after: Option<&str>| match after {
        None => damaged("not an image archive: it is no tarball".to_owned()),
        Some(name) => damaged(format!("damaged archive: what follows entry {name:?} cannot be read")),
    };
    let mut last: Option<String> = None;
    for entry in tar.entries_with_seek().map_err(|_| not_tar(None))? {
        let entry = entry.map_err(|_| not_tar(last.as_deref()))?;
        let name = normal(&String::from_utf8_lossy(&entry.path_bytes()));
        last = Some(name.clone());
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.saturating_add(size) > length {
                return Err(ImageError::Entry {
                    archive: shown.to_owned(),
                    entry: name,
                    reason: "the archive ends in the middle of it".to_owned(),
                });
            }
            parts.insert(name, Part::File { offset, length: size });
        } else if let Some(target) = entry.link_name_bytes() {
            let target = String::from_utf8_lossy(&target).into_owned();
            // A symbolic link is relative to its directory, a hard link to the archive.
            let base = if kind.is_symlink() { Path::new(&name).parent() } else { None };
            let target = normal(&base.unwrap_or(Path::new("")).join(target).to_string_lossy());
            parts.insert(name, Part::Link { target });
        }
        if parts.len() > PARTS_MAX {
            return Err(damaged(format!("more than {PARTS_MAX} entries")));
        }
    }
    if parts.is_empty() {
        return Err(damaged("not an image archive: no entries".to_owned()));
    }
    Ok(parts)
}

/// `./a/../b` is `b`.
fn normal(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
