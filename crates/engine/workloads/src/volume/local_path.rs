//! Volumes that are directories of a node, made for claims when their first pod is scheduled.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use minato_placement::volume::{class_of_claim, reference_to};
use minato_quantity::Quantity;

use super::{PROVISIONED_BY, PROVISIONER, SELECTED_NODE, annotation};

const HOST: &str = "kubernetes.io/hostname";
/// Keeps a volume whose deletion was asked for until its directory is gone.
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// The provisioner of one node.
#[derive(Clone, Debug)]
pub struct LocalPath<'a> {
    /// Its name in classes and annotations.
    pub provisioner: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// The node's label `kubernetes.io/hostname`.
    pub host_name: &'a str,
    /// The directory for all volumes, absolute.
    pub directory: &'a str,
}

/// What to make for a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Provisioned {
    /// The directory.
    pub path: String,
    /// The volume.
    pub volume: PersistentVolume,
}

/// Whether a claim waits for this node's provisioner.
#[must_use]
pub fn is_to_provision(local: &LocalPath<'_>, claim: &PersistentVolumeClaim) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    named.is_empty()
        && claim.metadata.deletion_timestamp.is_none()
        && annotation(&claim.metadata, PROVISIONER) == Some(local.provisioner)
        && annotation(&claim.metadata, SELECTED_NODE) == Some(local.node)
}

impl LocalPath<'_> {
    /// What to make for a claim of that class.
    ///
    /// # Errors
    /// What the claim wants and a directory cannot give.
    pub fn provision(&self, claim: &PersistentVolumeClaim, class: &StorageClass) -> Result<Provisioned, String> {
        let spec = claim.spec.clone().unwrap_or_default();
        if spec.volume_mode.as_deref() == Some("Block") {
            return Err(format!("{} does not support block volume provisioning", self.provisioner));
        }
        if spec.selector.is_some() {
            return Err("claim Selector is not supported".to_owned());
        }
        if spec.data_source.is_some() || spec.data_source_ref.is_some() {
            return Err("claim DataSource is not supported".to_owned());
        }
        let modes = spec.access_modes.unwrap_or_default();
        if let Some(mode) = modes.iter().find(|mode| !matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod")) {
            return Err(format!("a directory of one node cannot be accessed as {mode}"));
        }
        let name = format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default());
        let path = format!("{}/{name}", self.directory);
        let requested = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
        let requirement = NodeSelectorRequirement {
            key: HOST.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![self.host_name.to_owned()]),
        };
        let term = NodeSelectorTerm { match_expressions: Some(vec![requirement]), match_fields: None };
        let volume = PersistentVolume {
            metadata: ObjectMeta {
                name: Some(name),
                annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), self.provisioner.to_owned())])),
                finalizers: Some(vec![FINALIZER.to_owned()]),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeSpec {
                access_modes: Some(modes),
                capacity: requested
                    .get_key_value("storage")
                    .map(|(key, size)| BTreeMap::from([(key.clone(), size.clone())])),
                claim_ref: Some(reference_to(claim)),
                local: Some(LocalVolumeSource { path: path.clone(), fs_type: None }),
                mount_options: class.mount_options.clone(),
                node_affinity: Some(VolumeNodeAffinity {
                    required: Some(NodeSelector { node_selector_terms: vec![term] }),
                }),
                persistent_volume_reclaim_policy: class.reclaim_policy.clone(),
                storage_class_name: Some(class_of_claim(claim).to_owned()),
                volume_mode: spec.volume_mode,
                ..PersistentVolumeSpec::default()
            }),
            status: None,
        };
        Ok(Provisioned { path, volume })
    }

    /// Whether a volume is one of this node's.
    #[must_use]
    pub fn has_made(&self, volume: &PersistentVolume) -> bool {
        annotation(&volume.metadata, PROVISIONED_BY) == Some(self.provisioner) && self.path_of(volume).is_some()
    }

    /// The directory of one of this node's volumes.
    #[must_use]
    pub fn path_of<'v>(&self, volume: &'v PersistentVolume) -> Option<&'v str> {
        let spec = volume.spec.as_ref()?;
        let path = spec.local.as_ref()?.path.as_str();
        let required = spec.node_affinity.as_ref()?.required.as_ref()?;
        let mut requirements =
            required.node_selector_terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
        let is_here = requirements.any(|requirement| {
            requirement.key == HOST && requirement.values.as_deref() == Some(&[self.host_name.to_owned()])
        });
        let name = path.strip_prefix(self.directory)?.strip_prefix('/')?;
        // Whatever a volume claims, nothing else on the node is ever removed.
        (is_here && Some(name) == volume.metadata.name.as_deref() && name.starts_with("pvc-")).then_some(path)
    }
}

/// What the provisioner does about a volume that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nothing.
    Keep,
    /// The volume may go; its directory stays.
    VolumeAlone,
    /// The directory goes, then the volume.
    WithDirectory,
}

/// What is to become of a volume whose claim is gone, or whose deletion was asked for.
#[must_use]
pub fn removal(volume: &PersistentVolume) -> Removal {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    match (policy, phase, volume.metadata.deletion_timestamp.is_some()) {
        (_, Some("Bound"), _) => Removal::Keep,
        (Some("Delete"), Some("Released"), _) | (Some("Delete"), _, true) => Removal::WithDirectory,
        (_, _, true) => Removal::VolumeAlone,
        (_, _, false) => Removal::Keep,
    }
}

/// The finalizers of a volume without the provisioner's.
#[must_use]
pub fn other_finalizers(volume: &PersistentVolume) -> Vec<String> {
    let all = volume.metadata.finalizers.iter().flatten();
    all.filter(|finalizer| *finalizer != FINALIZER).cloned().collect()
}

/// The size to which a bound claim wants its volume grown.
#[must_use]
pub fn grown(claim: &PersistentVolumeClaim) -> Option<Written> {
    let status = claim.status.as_ref().filter(|status| status.phase.as_deref() == Some("Bound"))?;
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    let wanted = resources.requests.as_ref()?.get("storage")?;
    let has = status.capacity.as_ref()?.get("storage")?;
    let read = |written: &Written| Quantity::parse(&written.0).ok();
    (read(wanted)? > read(has)?).then(|| wanted.clone())
}
