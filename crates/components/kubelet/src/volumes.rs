//! A pod's volumes on this machine: `<data-dir>/node/pods/<uid>/volumes/<name>`.
//!
//! Setting up is idempotent, so the same call makes volumes, repairs them after a restart, and brings changed
//! ConfigMaps, Secrets, labels and tokens into a running pod.

mod atomic;
mod claimed;
mod host_path;
mod ownership;
mod scratch;
mod sub_path;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Volume};
use minato_podlife::downward::Surroundings;
use minato_podlife::env::References;
use minato_podlife::payload::{self, PayloadError, Sources, TokenKey};

use crate::claims::ClaimedVolumes;

pub(crate) use sub_path::{SubPathError, sub_path};

/// Why a volume could not be set up. Goes into a `FailedMount` event.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The data is not there (yet).
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {source}")]
    Payload {
        /// The volume's name.
        volume: String,
        /// What is missing.
        source: PayloadError,
    },
    /// The path on the host is not what the pod demands.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : hostPath type check failed: {message}")]
    HostPath {
        /// The volume's name.
        volume: String,
        /// What the path is not.
        message: String,
    },
    /// The directory of a local volume is not there.
    #[error("MountVolume.NewMounter initialization failed for volume \"{volume}\" : path {path:?} does not exist")]
    Missing {
        /// The volume's name.
        volume: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : failed to {action} {}: {source}", path.display())]
    Disk {
        /// The volume's name.
        volume: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// This kind of volume is not supported.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : this kind of volume is not supported on this node")]
    Unsupported {
        /// The volume's name.
        volume: String,
    },
}

/// A volume as containers mount it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Where it is on the host.
    pub(crate) path: PathBuf,
    /// Containers must not write: it is made of API data, or the pod wants it so.
    pub(crate) read_only: bool,
}

/// A pod's volumes by name.
pub(crate) type MountedVolumes = BTreeMap<String, Mounted>;

/// What volumes are made of.
pub(crate) struct Material<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) references: &'a References,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) tokens: &'a BTreeMap<TokenKey, String>,
    pub(crate) claimed: &'a ClaimedVolumes,
}

/// An I/O failure with what was tried on which path; the volume's name is added one level up.
#[derive(Debug)]
pub(crate) struct DiskError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: std::io::Error,
}

pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { action, path, source }
}

/// Sets up or refreshes every volume of the pod below `directory`. Blocks.
pub(crate) fn set_up(directory: &Path, material: &Material<'_>) -> Result<MountedVolumes, VolumeError> {
    let volumes = material.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.map(|volume| Ok((volume.name.clone(), set_up_one(directory, volume, material)?))).collect()
}

fn set_up_one(directory: &Path, volume: &Volume, material: &Material<'_>) -> Result<Mounted, VolumeError> {
    let name = || volume.name.clone();
    let disk_error = |error: DiskError| VolumeError::Disk {
        volume: name(),
        action: error.action,
        path: error.path,
        source: error.source,
    };
    let path = directory.join(&volume.name);
    let fs_group = material
        .pod
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref())
        .and_then(|security| security.fs_group)
        .and_then(|group| u32::try_from(group).ok());
    if let Some(source) = &volume.empty_dir {
        scratch::set_up(&path, source, fs_group).map_err(disk_error)?;
        return Ok(Mounted { path, read_only: false });
    }
    if let Some(source) = &volume.host_path {
        let host_path = PathBuf::from(&source.path);
        host_path::check(&host_path, source.type_.as_deref().unwrap_or_default())
            .map_err(|message| VolumeError::HostPath { volume: name(), message })?;
        return Ok(Mounted { path: host_path, read_only: false });
    }
    if let Some(claimed) = material.claimed.get(&volume.name) {
        return claimed::set_up(&path, volume, claimed, material.pod, fs_group);
    }
    let sources = Sources {
        pod: material.pod,
        references: material.references,
        surroundings: material.surroundings,
        tokens: material.tokens,
    };
    let payload =
        payload::payload(volume, sources).map_err(|source| VolumeError::Payload { volume: name(), source })?;
    let Some(payload) = payload else { return Err(VolumeError::Unsupported { volume: name() }) };
    // Secrets and tokens never reach the disk.
    if volume.secret.is_some() || volume.projected.is_some() {
        scratch::mount_memory(&path, None).map_err(disk_error)?;
    }
    atomic::write(&path, &payload, fs_group).map_err(disk_error)?;
    Ok(Mounted { path, read_only: true })
}

/// Unmounts and removes everything below a pod's `volumes` directory; goes on after failures. Blocks.
pub(crate) fn tear_down(directory: &Path) -> Vec<DiskError> {
    let mut errors = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return errors,
        Err(error) => return vec![disk("read", directory)(error)],
    };
    for entry in entries.flatten() {
        errors.extend(scratch::unmount(&entry.path()).err());
    }
    if errors.is_empty() {
        errors.extend(std::fs::remove_dir_all(directory).map_err(disk("remove", directory)).err());
    }
    errors
}
