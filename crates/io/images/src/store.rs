//! The store itself: locks, look-ups, removal, leases.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::index::{Entry, Index};
use crate::{Image, ImageError, ImageName};

/// The images below one directory. Cheap to clone; safe to be used by several processes at once. All methods block.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) directory: PathBuf,
}

/// An image that an import brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its complete names; may be empty (then it is known by its digest).
    pub names: Vec<String>,
    /// The digest of its configuration, `sha256:…`.
    pub digest: String,
}

impl Store {
    /// Opens the store below `directory`, which is created if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be written, or its index cannot be understood.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, ImageError> {
        let store = Self { directory: directory.into() };
        for part in ["layers", "leases", "staging"] {
            let path = store.directory.join(part);
            fs::create_dir_all(&path).map_err(ImageError::file("create", path))?;
        }
        let _lock = store.lock(FlockArg::LockShared)?;
        Index::load(&store.index_path())?;
        Ok(store)
    }

    /// All images, sorted by digest.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let _lock = self.lock(FlockArg::LockShared)?;
        let index = Index::load(&self.index_path())?;
        Ok(index.images.iter().map(|(digest, entry)| self.image(&index, digest, entry)).collect())
    }

    /// The image of a name or a digest, if it is here.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let _lock = self.lock(FlockArg::LockShared)?;
        let index = Index::load(&self.index_path())?;
        Ok(index.find(name).map(|(digest, entry)| self.image(&index, digest, entry)))
    }

    /// Gives the image `of` another name.
    ///
    /// # Errors
    /// When there is no such image, or `name` is none.
    pub fn tag(&self, of: &str, name: &str) -> Result<(), ImageError> {
        let name = name.parse::<ImageName>()?;
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let mut index = Index::load(&self.index_path())?;
        let (digest, _) = index.find(of).ok_or_else(|| ImageError::NotFound { name: of.to_owned() })?;
        let digest = digest.clone();
        index.names.insert(name.to_string(), digest);
        index.save(&self.index_path())
    }

    /// Takes a name away; the image goes with its last name. By digest, the image goes with all its names.
    ///
    /// # Errors
    /// [`ImageError::InUse`] when the image would go and a container uses it; [`ImageError::NotFound`].
    pub fn remove(&self, name: &str) -> Result<(), ImageError> {
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let mut index = Index::load(&self.index_path())?;
        let (digest, _) = index.find(name).ok_or_else(|| ImageError::NotFound { name: name.to_owned() })?;
        let digest = digest.clone();
        let tag =
            name.parse::<ImageName>().map(|name| name.to_string()).ok().filter(|tag| index.names.contains_key(tag));
        let others = index.names.iter().any(|(known, of)| *of == digest && Some(known) != tag.as_ref());
        match tag {
            Some(tag) if others => {
                index.names.remove(&tag);
            }
            _ => {
                let holders = self.holders(&digest)?;
                if !holders.is_empty() {
                    return Err(ImageError::InUse { name: name.to_owned(), holders });
                }
                index.names.retain(|_, of| *of != digest);
                index.images.remove(&digest);
            }
        }
        index.layers.retain(|hex, _| index.images.values().any(|entry| entry.layers.contains(hex)));
        index.save(&self.index_path())?;
        self.sweep(&index)
    }

    /// Notes that `holder` uses the image, which is then not removed. Idempotent.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] when the image is not here (any more).
    pub fn lease(&self, name: &str, holder: &str) -> Result<Image, ImageError> {
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let index = Index::load(&self.index_path())?;
        let (digest, entry) = index.find(name).ok_or_else(|| ImageError::NotFound { name: name.to_owned() })?;
        let directory = self.lease_directory(digest);
        fs::create_dir_all(&directory).map_err(ImageError::file("create", &directory))?;
        let path = directory.join(holder);
        fs::File::create(&path).map_err(ImageError::file("create", path))?;
        Ok(self.image(&index, digest, entry))
    }

    /// Ends a lease. Idempotent.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn release(&self, digest: &str, holder: &str) -> Result<(), ImageError> {
        let directory = self.lease_directory(digest);
        remove_if_there(&directory.join(holder), |path| fs::remove_file(path))?;
        match fs::remove_dir(&directory) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                Err(ImageError::file("remove", directory)(error))
            }
            _ => Ok(()),
        }
    }

    /// Ends the leases of all holders that `exists` does not know; for start-up.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn retain_leases(&self, exists: impl Fn(&str) -> bool) -> Result<(), ImageError> {
        let _lock = self.lock(FlockArg::LockExclusive)?;
        let leases = self.directory.join("leases");
        for hex in names_in(&leases)? {
            let digest = format!("sha256:{hex}");
            for holder in names_in(&leases.join(&hex))?.iter().filter(|holder| !exists(holder)) {
                self.release(&digest, holder)?;
            }
        }
        Ok(())
    }

    /// Removes layers that no image uses and what crashed imports left. Needs the exclusive lock.
    pub(crate) fn sweep(&self, index: &Index) -> Result<(), ImageError> {
        let layers = self.directory.join("layers");
        for name in names_in(&layers)? {
            if !index.layers.contains_key(&name) {
                remove_if_there(&layers.join(name), |path| fs::remove_dir_all(path))?;
            }
        }
        let staging = self.directory.join("staging");
        for name in names_in(&staging)? {
            let path = staging.join(name);
            // Whoever imports holds a lock on its directory; one without has crashed.
            let abandoned = fs::File::open(&path)
                .is_ok_and(|directory| Flock::lock(directory, FlockArg::LockExclusiveNonblock).is_ok());
            if abandoned {
                remove_if_there(&path, |path| fs::remove_dir_all(path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    pub(crate) fn layer_path(&self, hex: &str) -> PathBuf {
        self.directory.join("layers").join(hex)
    }

    /// Waits for the store's lock, which ends when the returned value is dropped.
    pub(crate) fn lock(&self, kind: FlockArg) -> Result<Flock<fs::File>, ImageError> {
        let path = self.directory.join("lock");
        let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(ImageError::file("open", &path))?;
        Flock::lock(file, kind).map_err(|(_, errno)| ImageError::file("lock", path)(errno.into()))
    }

    fn lease_directory(&self, digest: &str) -> PathBuf {
        self.directory.join("leases").join(digest.trim_start_matches("sha256:"))
    }

    fn holders(&self, digest: &str) -> Result<Vec<String>, ImageError> {
        names_in(&self.lease_directory(digest))
    }

    fn image(&self, index: &Index, digest: &str, entry: &Entry) -> Image {
        Image {
            digest: digest.to_owned(),
            names: index.names.iter().filter(|(_, of)| *of == digest).map(|(name, _)| name.clone()).collect(),
            config: entry.config.clone(),
            layers: entry.layers.iter().map(|hex| self.layer_path(hex)).collect(),
            size_bytes: entry.layers.iter().filter_map(|hex| index.layers.get(hex)).sum(),
            imported_at: entry.imported_at,
        }
    }
}

/// The names in a directory, sorted; none if it does not exist.
fn names_in(directory: &Path) -> Result<Vec<String>, ImageError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ImageError::file("list", directory)(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(ImageError::file("list", directory))?;
    names.sort();
    Ok(names)
}

fn remove_if_there(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), ImageError> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ImageError::file("remove", path)(error)),
        _ => Ok(()),
    }
}
