//! Bringing images in: plan, unpack into staging, commit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};

use crate::archive::{Archive, GZIP_MAGIC};
use crate::digest::Hashing;
use crate::index::{Entry, Index};
use crate::manifest::{self, LayerPlan, Plan};
use crate::unpack::unpack;
use crate::{ImageError, Imported, Store};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl Store {
    /// Imports all images of a tarball (`docker save`, OCI layout; plain or gzip) or of an OCI layout directory. A
    /// name that another image had moves to the new one.
    ///
    /// # Errors
    /// When the archive is damaged, hostile or for another kind of machine, or the disk is full; then the store is as
    /// it was.
    pub fn import(&self, archive: &Path) -> Result<Vec<Imported>, ImageError> {
        let staging = Staging::create(&self.directory.join("staging"))?;
        let archive = Archive::open(archive, &staging.path)?;
        let plans = manifest::read(&archive)?;
        let known = {
            let _lock = self.lock(FlockArg::LockShared)?;
            Index::load(&self.index_path())?.layers
        };
        let mut sizes = BTreeMap::new();
        for layer in plans.iter().flat_map(|plan| &plan.layers) {
            if !known.contains_key(&layer.diff_id) && !sizes.contains_key(&layer.diff_id) {
                sizes.insert(layer.diff_id.clone(), unpack_layer(&archive, layer, &staging.path)?);
            }
        }
        // The layers must be on disk before an index says that they are.
        nix::unistd::syncfs(&*staging.directory)
            .map_err(|errno| ImageError::file("sync", &staging.path)(errno.into()))?;
        self.commit(&staging, plans, &sizes)
    }

    fn commit(
        &self,
        staging: &Staging,
        plans: Vec<Plan>,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<Vec<Imported>, ImageError> {
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let mut index = Index::load(&self.index_path())?;
        for plan in &plans {
            for hex in plan.layers.iter().map(|layer| &layer.diff_id) {
                if index.layers.contains_key(hex) {
                    continue;
                }
                let Some(size) = sizes.get(hex) else {
                    let reason = format!("layer {hex} was removed during the import, import again");
                    return Err(ImageError::Archive { archive: staging.path.clone(), reason });
                };
                let target = self.layer_path(hex);
                // A layer that is not in the index is what a crash left.
                if target.exists() {
                    fs::remove_dir_all(&target).map_err(ImageError::file("remove", &target))?;
                }
                fs::rename(staging.path.join(hex), &target).map_err(ImageError::file("create", &target))?;
                index.layers.insert(hex.clone(), *size);
            }
        }
        let imported = plans
            .iter()
            .map(|plan| Imported { names: plan.names.iter().cloned().collect(), digest: plan.digest.clone() });
        let imported = imported.collect();
        for plan in plans {
            for name in plan.names {
                index.names.insert(name, plan.digest.clone());
            }
            let entry = index.images.entry(plan.digest).or_insert_with(|| Entry {
                config: plan.config,
                layers: plan.layers.into_iter().map(|layer| layer.diff_id).collect(),
                imported_at: Timestamp::now(),
                manifests: Default::default(),
            });
            entry.manifests.extend(plan.manifests);
        }
        index.save(&self.index_path())?;
        self.sweep(&index)?;
        Ok(imported)
    }
}

/// Unpacks one layer to `<staging>/<diff id>`, checks its digests, and returns its size.
fn unpack_layer(archive: &Archive, layer: &LayerPlan, staging: &Path) -> Result<u64, ImageError> {
    let failed = |error: io::Error| archive.entry(&layer.part, &error.to_string());
    let mismatch = |expected: &str, found: String| ImageError::Digest {
        archive: archive.path().to_owned(),
        entry: layer.part.clone(),
        expected: expected.to_owned(),
        found,
    };
    let mut raw = BufReader::with_capacity(128 << 10, Hashing::new(archive.reader(&layer.part)?));
    let start = raw.fill_buf().map_err(failed)?;
    if start.starts_with(&ZSTD_MAGIC) {
        return Err(archive.entry(&layer.part, "zstd compression is not supported, save the image with gzip"));
    }
    let compressed = start.starts_with(&GZIP_MAGIC);
    let reader: Box<dyn Read + '_> =
        if compressed { Box::new(MultiGzDecoder::new(&mut raw)) } else { Box::new(&mut raw) };
    let mut tar = Hashing::new(reader);
    let size = unpack(&mut tar, &staging.join(&layer.diff_id)).map_err(|failure| ImageError::Entry {
        archive: archive.path().to_owned(),
        entry: match failure.entry {
            Some(entry) => format!("{}!{entry}", layer.part),
            None => layer.part.clone(),
        },
        reason: failure.reason,
    })?;
    let found = tar.finish().map_err(failed)?;
    let expected = format!("sha256:{}", layer.diff_id);
    if found != expected {
        return Err(mismatch(&expected, found));
    }
    if let Some(expected) = &layer.digest {
        io::copy(&mut raw, &mut io::sink()).map_err(failed)?;
        let found = raw.into_inner().finish().map_err(failed)?;
        if found != *expected {
            return Err(mismatch(expected, found));
        }
    }
    Ok(size)
}

/// A directory of one import; removed when dropped, and by others' sweeps once its lock is gone.
struct Staging {
    path: PathBuf,
    directory: Flock<File>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Staging {
    fn create(below: &Path) -> Result<Self, ImageError> {
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = below.join(format!("{}-{count}", std::process::id()));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => result.map_err(ImageError::file("create", &path))?,
            }
            let directory = File::open(&path).map_err(ImageError::file("open", &path))?;
            let directory = Flock::lock(directory, FlockArg::LockExclusive)
                .map_err(|(_, errno)| ImageError::file("lock", &path)(errno.into()))?;
            // A sweep may have taken it between the two steps.
            if path.is_dir() {
                return Ok(Self { path, directory });
            }
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next sweep.
        let _ = fs::remove_dir_all(&self.path);
    }
}
