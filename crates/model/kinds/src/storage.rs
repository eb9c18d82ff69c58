//! Volumes and the classes they come from.

mod attachment;
mod class;
mod csi;
mod volume;

pub(crate) use attachment::VolumeAttachment;
pub(crate) use class::{StorageClass, VolumeAttributesClass};
pub(crate) use csi::{CsiDriver, CsiNode, CsiStorageCapacity};
pub(crate) use volume::PersistentVolume;
