//! Full and read-only disks: small file systems in memory, which only root can mount.

use std::path::{Path, PathBuf};

use minato_store::embedded::OpenError;
use minato_store::{Backend, CommitError};
use nix::mount::{MsFlags, mount, umount};

use crate::support::*;

/// A file system of its own, gone with this.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    /// `None`, saying so, without root.
    fn mount(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = mount(Some("tmpfs"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some(options));
        if let Err(error) = mounted {
            println!("skipped: needs root ({error})");
            return None;
        }
        Some(Self { directory })
    }

    fn remount(&self, flags: MsFlags, options: &str) {
        mount(None::<&str>, self.directory.path(), None::<&str>, MsFlags::MS_REMOUNT | flags, Some(options)).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = umount(self.directory.path()) {
            eprintln!("cannot unmount {}: {error}", self.directory.path().display());
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let Some(disk) = Disk::mount("size=3m") else { return };
    let store = open(&disk.data());
    let mut written = 0;
    let error = loop {
        let operation = put(&key(&format!("object-{written:04}")), &"x".repeat(5000), minato_mvcc::Expected::Absent);
        match commit(&store, operation).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CommitError::Full { .. }), "{error:?}");
    assert!(error.to_string().starts_with("no space left for "), "{error}");
    assert_eq!(store.memory().snapshot("core/configmaps").len(), written);
    assert_eq!(store.memory().revision().0, written as u64, "a refused write leaves no trace");
    assert!(commit(&store, put(&key("large"), &"x".repeat(50_000), minato_mvcc::Expected::Absent)).await.is_err());

    disk.remount(MsFlags::empty(), "size=16m");
    assert_eq!(write(&store, "after", "there is room").await.revision.0, written as u64 + 1);
    store.close().await;
    let store = open(&disk.data());
    assert_eq!(store.memory().snapshot("core/configmaps").len(), written + 1);
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_does_not_keep_a_store_from_opening() {
    let Some(disk) = Disk::mount("size=2m") else { return };
    let store = open(&disk.data());
    write(&store, "a", "x").await;
    store.close().await;
    let filler = disk.directory.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    let store = open(&disk.data());
    let refused = commit(&store, put(&key("b"), "x", minato_mvcc::Expected::Any)).await;
    assert!(matches!(refused, Err(CommitError::Full { .. })), "{refused:?}");
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    write(&store, "b", "x").await;
    store.close().await;
}

#[tokio::test]
async fn a_read_only_directory() {
    let Some(disk) = Disk::mount("size=2m") else { return };
    let check = |path: &Path| {
        let error = open_error(path);
        assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
        assert!(error.to_string().starts_with("cannot write in the data directory "), "{error}");
    };
    disk.remount(MsFlags::MS_RDONLY, "");
    check(&disk.data());
    disk.remount(MsFlags::empty(), "");
    open(&disk.data()).close().await;
    disk.remount(MsFlags::MS_RDONLY, "");
    check(&disk.data());
}
