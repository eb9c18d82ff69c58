//! The list of images: one JSON file, replaced atomically.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ImageError;

const VERSION: u32 = 1;

/// An image, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest of its configuration, `sha256:…`: what Kubernetes calls the image ID.
    pub digest: String,
    /// All its complete names, sorted.
    pub names: Vec<String>,
    /// What to run.
    pub config: ImageConfig,
    /// Unpacked layers, the lowest first. Overlayfs wants them as `lowerdir` in reverse.
    pub layers: Vec<PathBuf>,
    /// Bytes of all files in all layers.
    pub size_bytes: u64,
    /// When it was imported.
    pub imported_at: Timestamp,
}

/// What an image says about how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or program and arguments if there is no entrypoint.
    pub command: Vec<String>,
    /// Where it starts; empty is `/`.
    pub working_dir: String,
    /// `user`, `user:group`, by name or number; empty is root.
    pub user: String,
    /// The signal that asks it to end; empty is `SIGTERM`.
    pub stop_signal: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Directories declared as volumes.
    pub volumes: BTreeSet<String>,
}

/// The file's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    version: u32,
    /// By the digest of the configuration.
    pub(crate) images: BTreeMap<String, Entry>,
    /// By complete name: the digest of the configuration.
    pub(crate) names: BTreeMap<String, String>,
    /// By hexadecimal diff id: the bytes of its files. A layer that is not here is not complete.
    pub(crate) layers: BTreeMap<String, u64>,
}

/// One image in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) config: ImageConfig,
    /// Hexadecimal diff ids, the lowest first.
    pub(crate) layers: Vec<String>,
    pub(crate) imported_at: Timestamp,
    /// Digests of manifests that led to it.
    pub(crate) manifests: BTreeSet<String>,
}

impl Index {
    /// Reads the index; a store without one is empty.
    pub(crate) fn load(path: &Path) -> Result<Self, ImageError> {
        let damaged = |reason: String| ImageError::Damaged { path: path.to_owned(), reason };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, ..Self::default() });
            }
            Err(error) => return Err(ImageError::file("read", path)(error)),
        };
        let version = serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| damaged(error.to_string()))?
            .get("version")
            .and_then(serde_json::Value::as_u64);
        if version != Some(VERSION.into()) {
            return Err(damaged(format!("version {version:?} where this program knows {VERSION}")));
        }
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
    }

    /// Replaces the file; after a crash it is either the old or the new one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), ImageError> {
        let bytes =
            serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(ImageError::file("write", path))?;
        let temporary = path.with_extension("json.new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        write().map_err(ImageError::file("write", path))
    }

    /// The image that `name` or digest stands for.
    pub(crate) fn find(&self, name: &str) -> Option<(&String, &Entry)> {
        if let Some(found) = self.images.get_key_value(name) {
            return Some(found);
        }
        if crate::name::is_hex(name) {
            return self.images.get_key_value(&format!("sha256:{name}"));
        }
        let name = name.parse::<crate::ImageName>().ok()?;
        match name.digest() {
            Some(digest) => {
                self.images.iter().find(|(id, entry)| id.as_str() == digest || entry.manifests.contains(digest)).filter(
                    |(id, _)| {
                        let prefix = format!("{}:", name.repository());
                        self.names.iter().any(|(known, of)| of == *id && known.starts_with(&prefix))
                    },
                )
            }
            None => self.images.get_key_value(self.names.get(&name.to_string())?),
        }
    }
}
