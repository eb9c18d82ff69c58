//! `subPath`: a part of a volume.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Why a sub-path cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubPathError {
    /// It is absolute or climbs.
    #[error("subPath \"{0}\" must be a relative path without \"..\"")]
    Form(String),
    /// It leads out of the volume, by a symbolic link.
    #[error("subPath \"{0}\" leads outside the volume")]
    Outside(String),
    /// The file system refused.
    #[error("failed to prepare subPath \"{path}\": {source}")]
    Disk {
        /// The sub-path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// The path on the host of `path` inside the volume, made as a directory if nothing is there. Blocks.
pub(crate) fn sub_path(volume: &Path, path: &str) -> Result<PathBuf, SubPathError> {
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(SubPathError::Form(path.to_owned()));
    }
    let disk = |source| SubPathError::Disk { path: path.to_owned(), source };
    let root = fs::canonicalize(volume).map_err(disk)?;
    let mut reached = root.clone();
    for part in relative.components() {
        let Component::Normal(part) = part else { continue };
        let next = reached.join(part);
        if fs::symlink_metadata(&next).is_err() {
            fs::create_dir(&next).map_err(disk)?;
            let mode = fs::metadata(&reached).map_err(disk)?.permissions().mode() & 0o7777;
            fs::set_permissions(&next, fs::Permissions::from_mode(mode | 0o700)).map_err(disk)?;
        }
        reached = fs::canonicalize(&next).map_err(disk)?;
        if !reached.starts_with(&root) {
            return Err(SubPathError::Outside(path.to_owned()));
        }
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("v");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("file", volume.join("in")).unwrap();
        assert!(sub_path(&volume, "a/b").unwrap().is_dir());
        assert!(sub_path(&volume, "file").unwrap().is_file());
        assert!(sub_path(&volume, "in").unwrap().ends_with("file"));
        for bad in ["../x", "/etc", "a/../../x", "out", "out/passwd"] {
            assert!(sub_path(&volume, bad).is_err(), "{bad}");
        }
    }
}
