//! Volumes of claims: directories of this node.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, Pod, Volume};

use super::ownership::own_all;
use super::{Mounted, VolumeError, disk, host_path};

/// Prepares the volume that a claim is bound to. `mark` is made when the pod's group has been given the volume: that is
/// done once for a pod, not whenever its volumes are looked at.
pub(super) fn set_up(
    mark: &Path,
    volume: &Volume,
    claimed: &PersistentVolume,
    pod: &Pod,
    fs_group: Option<u32>,
) -> Result<Mounted, VolumeError> {
    let name = || claimed.metadata.name.clone().unwrap_or_default();
    let unsupported = || VolumeError::Unsupported { volume: name() };
    let spec = claimed.spec.as_ref().ok_or_else(unsupported)?;
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(unsupported());
    }
    let read_only = volume.persistent_volume_claim.as_ref().and_then(|source| source.read_only) == Some(true);
    if let Some(source) = &spec.host_path {
        let path = PathBuf::from(&source.path);
        host_path::check(&path, source.type_.as_deref().unwrap_or_default())
            .map_err(|message| VolumeError::HostPath { volume: name(), message })?;
        return Ok(Mounted { path, read_only });
    }
    let path = PathBuf::from(&spec.local.as_ref().ok_or_else(unsupported)?.path);
    if !path.exists() {
        return Err(VolumeError::Missing { volume: name(), path });
    }
    if let Some(group) = fs_group.filter(|_| !read_only && !mark.exists()) {
        let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let policy = security.and_then(|security| security.fs_group_change_policy.as_deref());
        let made = own_all(&path, group, policy == Some("OnRootMismatch"));
        made.and_then(|()| std::fs::create_dir_all(mark).map_err(disk("create", mark))).map_err(|error| {
            VolumeError::Disk { volume: name(), action: error.action, path: error.path, source: error.source }
        })?;
    }
    Ok(Mounted { path, read_only })
}
