//! What pods take on the disk, found by walking through their directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use minato_linux::disk::{self, Space, Usage};
use minato_runtime::{ContainerId, RuntimeError};

use crate::container::log_directory_name;
use crate::node::Node;
use crate::worker::Picture;

/// What everything of all pods takes.
#[derive(Clone, Debug)]
pub(crate) struct DiskUse {
    /// When it was measured.
    pub(crate) at: Timestamp,
    /// What containers wrote to their roots.
    pub(crate) layers: BTreeMap<ContainerId, Usage>,
    /// Images, in bytes.
    pub(crate) image_bytes: u64,
    /// The rest, by the pod's uid.
    pub(crate) pods: BTreeMap<String, PodDisk>,
}

/// What a pod takes besides its containers' roots.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodDisk {
    /// Logs by the container's name.
    pub(crate) logs: BTreeMap<String, Usage>,
    /// Volumes by name.
    pub(crate) volumes: BTreeMap<String, VolumeDisk>,
}

/// A volume that lies in a directory of the pod's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VolumeDisk {
    /// What it takes.
    pub(crate) usage: Usage,
    /// Room where it is.
    pub(crate) space: Space,
    /// It is in memory, not on the disk.
    pub(crate) in_memory: bool,
}

/// Where to look for one pod.
struct Places {
    uid: String,
    volumes: PathBuf,
    logs: PathBuf,
}

pub(super) async fn measure(node: &Node, pictures: Vec<Picture>) -> Result<DiskUse, RuntimeError> {
    let layers = node.runtime.writable_layers().await?;
    let images = node.images.clone();
    let data_dir = node.config.data_dir.clone();
    let places: Vec<Places> = pictures
        .iter()
        .filter_map(|picture| {
            let uid = picture.pod.metadata.uid.clone()?;
            let volumes = node.config.pod_directory(&uid).join("volumes");
            Some(Places { volumes, logs: node.config.logs_directory().join(log_directory_name(&picture.pod)), uid })
        })
        .collect();
    let walk = move || {
        let home = device(&data_dir);
        let pods = places.into_iter().map(|places| (places.uid.clone(), pod(&places, home))).collect();
        let image_bytes = images.list().map_or(0, |images| images.iter().map(|image| image.size_bytes).sum());
        (pods, image_bytes)
    };
    let (pods, image_bytes) = tokio::task::spawn_blocking(walk).await.unwrap_or_default();
    Ok(DiskUse { at: Timestamp::now(), layers, image_bytes, pods })
}

fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|metadata| metadata.dev())
}

fn pod(places: &Places, home: Option<u64>) -> PodDisk {
    let mut found = PodDisk::default();
    for (name, path) in entries(&places.volumes) {
        if let (Ok(usage), Ok(space)) = (disk::usage(&path), disk::space(&path)) {
            found.volumes.insert(name, VolumeDisk { usage, space, in_memory: device(&path) != home });
        }
    }
    for (name, path) in entries(&places.logs) {
        if let Ok(usage) = disk::usage(&path) {
            found.logs.insert(name, usage);
        }
    }
    found
}

fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}
