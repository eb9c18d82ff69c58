//! Whether a container's image is at hand.

use k8s_openapi::api::core::v1::Container;
use minato_images::{Image, ImageError, ImageName, Store};
use minato_podlife::FailureKind;

/// Why an image cannot be used, with the words for the status and for events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageTrouble {
    #[error(
        "Container image \"{0}\" is not present with pull policy of Never; bring it with: minato image import FILE"
    )]
    NeverPull(String),
    #[error(
        "image \"{0}\" is not on this node, and this node does not pull from registries yet; bring it with: minato image import FILE"
    )]
    Missing(String),
    #[error("Failed to apply default image tag \"{0}\": couldn't parse image name: invalid reference format")]
    InvalidName(String),
    #[error("image store: {0}")]
    Store(#[from] ImageError),
}

impl ImageTrouble {
    /// How the status shows it.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::NeverPull(_) => FailureKind::ImageNeverPull,
            Self::InvalidName(_) => FailureKind::InvalidImageName,
            Self::Missing(_) | Self::Store(_) => FailureKind::ImagePull,
        }
    }
}

/// The container's image from the local store. `Always` asks for the newest there is, and that is the local one.
/// Blocks.
pub(crate) fn find(store: &Store, container: &Container) -> Result<Image, ImageTrouble> {
    let name = container.image.as_deref().unwrap_or_default();
    let is_digest = name.starts_with("sha256:");
    if !is_digest && name.parse::<ImageName>().is_err() {
        return Err(ImageTrouble::InvalidName(name.to_owned()));
    }
    if let Some(image) = store.resolve(name)? {
        return Ok(image);
    }
    if container.image_pull_policy.as_deref() == Some("Never") {
        return Err(ImageTrouble::NeverPull(name.to_owned()));
    }
    Err(ImageTrouble::Missing(name.to_owned()))
}
