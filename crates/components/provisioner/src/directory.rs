//! Directories that are volumes.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use crate::Error;

/// Makes a directory that every user of a container may write to; one that is there is left as it is.
pub(crate) async fn make(path: PathBuf) -> Result<(), Error> {
    tokio::task::spawn_blocking(move || {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(&path);
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(parent);
        let made = made.and_then(|()| fs::create_dir(&path));
        // Past the umask.
        let made = made.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o777)));
        made.map_err(|source| Error::Disk { action: "create", path, source })
    })
    .await?
}

/// Removes a directory with all that is in it; none is fine.
pub(crate) async fn remove(path: PathBuf) -> Result<(), Error> {
    tokio::task::spawn_blocking(move || match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Disk { action: "remove", path, source }),
        _ => Ok(()),
    })
    .await?
}
