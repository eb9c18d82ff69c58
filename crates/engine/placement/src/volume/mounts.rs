//! The volumes of a pod that matter to where it may go.

use k8s_openapi::api::core::v1::{PodSpec, Volume};

/// What a pod mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mounts {
    pub(crate) claims: Vec<Mount>,
    pub(crate) disks: Vec<Disk>,
}

/// A claim, as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mount {
    pub(crate) claim: String,
    /// Made for this pod alone: the uid of the pod that must own it.
    pub(crate) made_for: Option<String>,
}

/// A disk that the pod names itself, which not every two pods of a node may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    kind: &'static str,
    id: String,
    /// Several pods may have it if all of them only read; `None`: never.
    read_only: Option<bool>,
}

impl Disk {
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let both_read = self.read_only == Some(true) && other.read_only == Some(true);
        self.kind == other.kind && self.id == other.id && !both_read
    }
}

impl Mounts {
    pub(crate) fn read(spec: &PodSpec, namespace: &str, name: &str, uid: &str) -> Self {
        let mut mounts = Self::default();
        for volume in spec.volumes.iter().flatten() {
            let claim = match (&volume.persistent_volume_claim, &volume.ephemeral) {
                (Some(source), _) => Some((source.claim_name.clone(), None)),
                (None, Some(_)) => Some((format!("{name}-{}", volume.name), Some(uid.to_owned()))),
                (None, None) => None,
            };
            if let Some((claim, made_for)) = claim {
                mounts.claims.push(Mount { claim: format!("{namespace}/{claim}"), made_for });
            }
            mounts.disks.extend(disks(volume));
        }
        mounts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.disks.is_empty()
    }
}

fn disks(volume: &Volume) -> Vec<Disk> {
    let shared = |kind, id, read_only: Option<bool>| Disk { kind, id, read_only: Some(read_only == Some(true)) };
    if let Some(disk) = &volume.gce_persistent_disk {
        return vec![shared("gce", disk.pd_name.clone(), disk.read_only)];
    }
    if let Some(disk) = &volume.aws_elastic_block_store {
        return vec![Disk { kind: "aws", id: disk.volume_id.clone(), read_only: None }];
    }
    if let Some(disk) = &volume.iscsi {
        return vec![shared("iscsi", disk.iqn.clone(), disk.read_only)];
    }
    let Some(disk) = &volume.rbd else { return Vec::new() };
    let pool = disk.pool.as_deref().unwrap_or("rbd");
    // The same image is the same disk if any monitor is.
    disk.monitors
        .iter()
        .map(|monitor| shared("rbd", format!("{monitor}/{pool}/{}", disk.image), disk.read_only))
        .collect()
}
