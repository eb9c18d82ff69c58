//! `fsGroup`: who may read and write a volume.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use super::{DiskError, disk};

/// What the group may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Volumes made of API data.
    ReadOnly,
    /// Scratch volumes.
    ReadWrite,
}

/// Gives one file or directory to the group. New files in a directory inherit it (set-group-id).
pub(super) fn own(path: &Path, group: u32, access: Access) -> Result<(), DiskError> {
    let metadata = fs::symlink_metadata(path).map_err(disk("look at", path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    chown(path, None, Some(group)).map_err(disk("change the group of", path))?;
    let mut mode = metadata.mode() & 0o7777;
    mode |= if access == Access::ReadOnly { 0o440 } else { 0o660 };
    if metadata.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(disk("set the mode of", path))
}
