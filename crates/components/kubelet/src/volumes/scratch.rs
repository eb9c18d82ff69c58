//! `emptyDir`: a directory on the disk or in memory that lives as long as the pod.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use minato_quantity::Quantity;
use nix::mount::{MntFlags, MsFlags};

use super::ownership::{Access, own};
use super::{DiskError, disk};

/// Makes the directory, if it is not there yet. What the pod wrote into it is left alone.
pub(super) fn set_up(path: &Path, source: &EmptyDirVolumeSource, fs_group: Option<u32>) -> Result<(), DiskError> {
    let fresh = !path.exists();
    if source.medium.as_deref() == Some("Memory") {
        let limit = source.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0).ok());
        mount_memory(path, limit.map(|limit| limit.value()).filter(|bytes| *bytes > 0))?;
    } else {
        fs::create_dir_all(path).map_err(disk("create", path))?;
    }
    if fresh {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(disk("set the mode of", path))?;
        if let Some(group) = fs_group {
            own(path, group, Access::ReadWrite)?;
        }
    }
    Ok(())
}

/// Mounts a memory file system on `path`, unless there is a mount already.
pub(super) fn mount_memory(path: &Path, bytes_max: Option<i64>) -> Result<(), DiskError> {
    fs::create_dir_all(path).map_err(disk("create", path))?;
    if is_mount_point(path).map_err(disk("look at", path))? {
        return Ok(());
    }
    let options = match bytes_max {
        Some(bytes) => format!("mode=0777,size={bytes}"),
        None => "mode=0777".to_owned(),
    };
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(|errno| disk("mount a memory file system on", path)(errno.into()))
}

/// Takes the mount on `path` away, if there is one.
pub(super) fn unmount(path: &Path) -> Result<(), DiskError> {
    let plain = fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_dir());
    if plain || !is_mount_point(path).map_err(disk("look at", path))? {
        return Ok(());
    }
    nix::mount::umount2(path, MntFlags::MNT_DETACH).map_err(|errno| disk("unmount", path)(errno.into()))
}

/// A directory on another device than its parent is a mount point; volumes are never bind mounts.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}
