//! How full a file system is, and how much of it a directory takes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub capacity_bytes: u64,
    /// Bytes that may still be written by users.
    pub available_bytes: u64,
    /// Files in all; 0 if the file system does not count them.
    pub inodes: u64,
    /// Files that may still be made.
    pub inodes_free: u64,
}

/// What a directory takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on disk; a file with several names counts once.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// Room on the file system that `path` is on.
///
/// # Errors
/// When the path does not exist.
pub fn space(path: &Path) -> io::Result<Space> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(Space {
        capacity_bytes: stat.blocks() * stat.fragment_size(),
        available_bytes: stat.blocks_available() * stat.fragment_size(),
        inodes: stat.files(),
        inodes_free: stat.files_available(),
    })
}

/// What `directory` takes, without what is mounted below it. What vanishes meanwhile is not counted.
///
/// # Errors
/// When the directory does not exist or cannot be read.
pub fn usage(directory: &Path) -> io::Result<Usage> {
    let root = fs::symlink_metadata(directory)?;
    let mut usage = Usage { bytes: root.blocks() * 512, inodes: 1 };
    let mut several_names = HashSet::new();
    let mut pending = vec![fs::read_dir(directory)?];
    while let Some(entries) = pending.last_mut() {
        let Some(entry) = entries.next() else {
            pending.pop();
            continue;
        };
        let Ok((entry, metadata)) = entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata))) else {
            continue;
        };
        if metadata.dev() != root.dev() {
            continue;
        }
        if metadata.nlink() > 1 && !metadata.is_dir() && !several_names.insert(metadata.ino()) {
            continue;
        }
        usage.bytes += metadata.blocks() * 512;
        usage.inodes += 1;
        if metadata.is_dir()
            && let Ok(below) = fs::read_dir(entry.path())
        {
            pending.push(below);
        }
    }
    Ok(usage)
}
