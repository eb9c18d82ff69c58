//! Files that change all at once.
//!
//! ```text
//! volume/key          -> ..data/key
//! volume/..data       -> ..2026_11_21_13_00_00.123456789
//! volume/..2026_11_…/key
//! ```
//! A reader sees either all old or all new files: the switch is one rename of the `..data` link.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use minato_podlife::payload::Payload;

use super::ownership::{Access, own};
use super::{DiskError, disk};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes the volume at `volume` hold exactly these files. Does nothing if it does already.
pub(super) fn write(volume: &Path, payload: &Payload, fs_group: Option<u32>) -> Result<(), DiskError> {
    fs::create_dir_all(volume).map_err(disk("create", volume))?;
    fs::set_permissions(volume, fs::Permissions::from_mode(0o755)).map_err(disk("set the mode of", volume))?;
    let data = volume.join(DATA);
    let old = fs::read_link(&data).ok();
    if old.is_some() && is_current(&data, payload) {
        return Ok(());
    }
    let name = format!("..{}", jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%9f"));
    let fresh = volume.join(&name);
    fs::create_dir(&fresh).map_err(disk("create", &fresh))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).map_err(disk("set the mode of", &fresh))?;
    write_files(&fresh, payload, fs_group)?;
    if let Some(group) = fs_group {
        own(volume, group, Access::ReadOnly)?;
        own(&fresh, group, Access::ReadOnly)?;
    }
    let link = volume.join(DATA_NEW);
    remove_file(&link)?;
    symlink(&name, &link).map_err(disk("link", &link))?;
    fs::rename(&link, &data).map_err(disk("switch", &data))?;
    link_names(volume, payload)?;
    sweep(volume, payload, &name)
}

fn is_current(data: &Path, payload: &Payload) -> bool {
    let mut found = BTreeSet::new();
    list_files(data, Path::new(""), &mut found);
    found.len() == payload.len()
        && payload.iter().all(|(path, file)| {
            let path = data.join(path);
            let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o777);
            // fsGroup may have added bits.
            let mode_fits = mode.is_ok_and(|mode| mode & file.mode == file.mode);
            mode_fits && fs::read(&path).is_ok_and(|data| data == file.data)
        })
}

fn list_files(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        let path = below.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list_files(root, &path, found);
        } else {
            found.insert(path);
        }
    }
}

fn write_files(directory: &Path, payload: &Payload, fs_group: Option<u32>) -> Result<(), DiskError> {
    for (name, file) in payload {
        let relative = Path::new(name);
        // The API refuses such paths; a file outside the volume must be impossible all the same.
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            let refused = std::io::Error::new(ErrorKind::InvalidInput, "the path leaves the volume");
            return Err(disk("write", relative)(refused));
        }
        let path = directory.join(relative);
        let mut parent = directory.to_owned();
        for part in relative.parent().iter().flat_map(|parent| parent.components()) {
            parent.push(part);
            match fs::create_dir(&parent) {
                Ok(()) => {
                    let mode = fs::Permissions::from_mode(0o755);
                    fs::set_permissions(&parent, mode).map_err(disk("set the mode of", &parent))?;
                    if let Some(group) = fs_group {
                        own(&parent, group, Access::ReadOnly)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(disk("create", &parent)(error)),
            }
        }
        fs::write(&path, &file.data).map_err(disk("write", &path))?;
        let mode = fs::Permissions::from_mode(file.mode);
        fs::set_permissions(&path, mode).map_err(disk("set the mode of", &path))?;
        if let Some(group) = fs_group {
            own(&path, group, Access::ReadOnly)?;
        }
    }
    Ok(())
}

fn first_names(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().filter_map(|path| path.split('/').next()).collect()
}

fn link_names(volume: &Path, payload: &Payload) -> Result<(), DiskError> {
    for name in first_names(payload) {
        let link = volume.join(name);
        let target = Path::new(DATA).join(name);
        if fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        remove_file(&link)?;
        symlink(&target, &link).map_err(disk("link", &link))?;
    }
    Ok(())
}

/// Removes names that are gone and data directories other than the current one.
fn sweep(volume: &Path, payload: &Payload, current: &str) -> Result<(), DiskError> {
    let names = first_names(payload);
    for entry in fs::read_dir(volume).map_err(disk("read", volume))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if name == DATA || name == current || names.contains(name.as_ref()) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
        } else {
            remove_file(&path)?;
        }
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(disk("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use minato_podlife::payload::File;

    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files
            .iter()
            .map(|(path, data)| ((*path).to_owned(), File { data: data.as_bytes().to_vec(), mode: 0o640 }))
            .collect()
    }

    fn check(volume: &Path, files: &[(&str, &str)]) {
        let files = payload(files);
        write(volume, &files, None).unwrap();
        for (path, file) in &files {
            assert_eq!(fs::read(volume.join(path)).unwrap(), file.data);
            assert_eq!(fs::metadata(volume.join(path)).unwrap().permissions().mode() & 0o777, 0o640);
        }
        let mut names: Vec<String> = fs::read_dir(volume)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .collect();
        names.sort();
        assert_eq!(names, first_names(&files).into_iter().collect::<Vec<_>>());
        let directories = fs::read_dir(volume).unwrap().filter(|entry| {
            let entry = entry.as_ref().unwrap();
            entry.file_type().unwrap().is_dir()
        });
        assert_eq!(directories.count(), 1, "old data is gone");
    }

    #[test]
    fn files_come_change_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("v");
        check(&volume, &[]);
        check(&volume, &[("a", "1"), ("d/e/f", "2")]);
        check(&volume, &[("a", "2"), ("d/g", "2")]);
        check(&volume, &[("b", "2")]);
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let directory = tempfile::tempdir().unwrap();
        let files = payload(&[("a", "1")]);
        write(directory.path(), &files, None).unwrap();
        let before = fs::read_link(directory.path().join(DATA)).unwrap();
        write(directory.path(), &files, None).unwrap();
        assert_eq!(fs::read_link(directory.path().join(DATA)).unwrap(), before);
    }

    #[test]
    fn no_file_leaves_the_volume() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("v");
        assert!(write(&volume, &payload(&[("../x", "1")]), None).is_err());
        assert!(!directory.path().join("x").exists());
    }
}
