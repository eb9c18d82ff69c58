//! What becomes of a layer's entries.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

use nix::sys::stat::{major, minor};

use crate::archives::{Item, Place, names};

#[test]
fn every_kind_of_entry_keeps_what_it_has() {
    let Some(place) = Place::new() else { return };
    let root = place.unpack(
        "kinds",
        &[
            Item::Directory("./", 0o755),
            Item::Directory("bin/", 0o1777),
            Item::File("bin/su", 0o4755, "program"),
            Item::Symlink("bin/link", "/etc/absolute"),
            Item::Hardlink("bin/su2", "bin/su"),
            Item::Device("dev/null", 1, 3),
            Item::Fifo("fifo"),
            Item::File("deep/er/file", 0o600, "x"),
            Item::Attribute("attribute", "user.name", b"value"),
        ],
    );
    let su = fs::metadata(root.join("bin/su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.uid(), su.mtime()), (0o4755, 1000, 1_000_000_000));
    assert_eq!(su.nlink(), 2);
    assert_eq!(fs::metadata(root.join("bin/su2")).unwrap().ino(), su.ino());
    let bin = fs::metadata(root.join("bin")).unwrap();
    assert_eq!((bin.permissions().mode() & 0o7777, bin.mtime()), (0o1777, 1_000_000_000));
    assert_eq!(fs::read_link(root.join("bin/link")).unwrap(), std::path::Path::new("/etc/absolute"));
    let null = fs::metadata(root.join("dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((major(null.rdev()), minor(null.rdev())), (1, 3));
    assert!(fs::metadata(root.join("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(root.join("deep")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn whiteouts_become_overlayfs_own() {
    let Some(place) = Place::new() else { return };
    let root = place.unpack(
        "whiteouts",
        &[
            Item::Directory("opaque/", 0o755),
            Item::File("opaque/.wh..wh..opq", 0o644, ""),
            Item::File("opaque/kept", 0o644, "kept"),
            Item::File("dir/.wh.gone", 0o644, ""),
            Item::File(".wh..wh.plnk", 0o644, ""),
        ],
    );
    let gone = fs::metadata(root.join("dir/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(names(&root.join("opaque")), ["kept"]);
    assert_eq!(names(&root), ["dir", "opaque"]);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let Some(place) = Place::new() else { return };
    let root = place.unpack(
        "twice",
        &[
            Item::File("file", 0o644, "old"),
            Item::File("file", 0o644, "new"),
            Item::Directory("dir/", 0o755),
            Item::File("dir/inside", 0o644, "x"),
            Item::Directory("dir/", 0o700),
            Item::Directory("becomes-file/", 0o755),
            Item::File("becomes-file/inside", 0o644, "x"),
            Item::File("becomes-file", 0o644, "file"),
            Item::Symlink("becomes-dir", "/etc"),
            Item::Directory("becomes-dir/", 0o755),
            Item::File("becomes-dir/inside", 0o644, "y"),
        ],
    );
    assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(root.join("dir/inside")).unwrap(), "x");
    assert_eq!(fs::metadata(root.join("dir")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(root.join("becomes-file")).unwrap(), "file");
    assert!(fs::symlink_metadata(root.join("becomes-dir")).unwrap().is_dir());
}

#[test]
fn links_inside_the_layer_are_followed_inside_the_layer() {
    let Some(place) = Place::new() else { return };
    let root = place.unpack(
        "links",
        &[
            Item::Directory("usr/lib/", 0o755),
            Item::Symlink("lib", "/usr/lib"),
            Item::File("lib/file", 0o644, "in usr"),
            Item::Hardlink("again", "lib/file"),
        ],
    );
    assert_eq!(fs::read_to_string(root.join("usr/lib/file")).unwrap(), "in usr");
    assert_eq!(fs::read_to_string(root.join("again")).unwrap(), "in usr");
}
