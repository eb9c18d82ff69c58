//! What can go wrong with images.

use std::io;
use std::path::PathBuf;

use crate::name::ParseNameError;

/// Why the image store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// No image of this name or digest.
    #[error("image {name:?} not found")]
    NotFound {
        /// As asked for.
        name: String,
    },
    /// Containers use the image.
    #[error("image {name:?} is in use by {} container(s): {}", .holders.len(), .holders.join(", "))]
    InUse {
        /// As asked for.
        name: String,
        /// Who holds a lease.
        holders: Vec<String>,
    },
    /// The file is not an image archive, or a damaged one.
    #[error("{}: {reason}", archive.display())]
    Archive {
        /// The tarball or directory.
        archive: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry of an archive is not what it should be, or must not be there.
    #[error("{}: entry {entry:?}: {reason}", archive.display())]
    Entry {
        /// The tarball or directory.
        archive: PathBuf,
        /// The entry's name; `layer.tar!etc/passwd` is an entry of a layer in the archive.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of an archive has other contents than its name says.
    #[error("{}: entry {entry:?}: digest is {found}, expected {expected}", archive.display())]
    Digest {
        /// The tarball or directory.
        archive: PathBuf,
        /// The entry's name.
        entry: String,
        /// What the archive promised.
        expected: String,
        /// What it has.
        found: String,
    },
    /// The archive has no image for this kind of machine.
    #[error("{}: no image for linux/amd64 (found: {})", archive.display(), .found.join(", "))]
    Platform {
        /// The tarball or directory.
        archive: PathBuf,
        /// The platforms it has.
        found: Vec<String>,
    },
    /// The store's index cannot be understood; nothing was changed.
    #[error("{} is damaged ({reason}); restore it from a backup, or remove {} and import the images anew",
        path.display(), path.parent().unwrap_or(path).display())]
    Damaged {
        /// The index file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("failed to {what} {}", path.display())]
    File {
        /// A verb: `read`, `create`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// An error in one line of bounded length: the tar reader quotes what it could not parse, which may be anything.
pub(crate) fn one_line(error: &io::Error) -> String {
    const CHARACTERS_MAX: usize = 160;
    let text = error.to_string();
    text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
