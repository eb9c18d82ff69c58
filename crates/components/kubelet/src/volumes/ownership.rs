//! `fsGroup`: who may read and write a volume.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
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
    lchown(path, None, Some(group)).map_err(disk("change the group of", path))?;
    let mut mode = metadata.mode() & 0o7777;
    mode |= if access == Access::ReadOnly { 0o440 } else { 0o660 };
    if metadata.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(disk("set the mode of", path))
}

/// Gives a volume with all that is in it to the group. `unless_root_is` leaves it alone if its top is the group's
/// already (`fsGroupChangePolicy: OnRootMismatch`).
pub(super) fn own_all(path: &Path, group: u32, unless_root_is: bool) -> Result<(), DiskError> {
    const NEEDED: u32 = 0o2770;
    let metadata = fs::symlink_metadata(path).map_err(disk("look at", path))?;
    let is_owned = metadata.gid() == group && metadata.mode() & NEEDED == NEEDED;
    if unless_root_is && is_owned {
        return Ok(());
    }
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(disk("read", &directory))? {
            let entry = entry.map_err(disk("read", &directory))?;
            let kind = entry.file_type().map_err(disk("look at", &entry.path()))?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                own(&entry.path(), group, Access::ReadWrite)?;
            }
        }
        own(&directory, group, Access::ReadWrite)?;
    }
    Ok(())
}
