//! Archives that try to leave their place.

use std::fs;

use proptest::prelude::*;

use crate::archives::{Item, Place, docker, layer};

#[test]
fn nothing_leaves_the_layer() {
    let Some(place) = Place::new() else { return };
    let outside = place.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    let leak: &'static str = Box::leak(outside.display().to_string().into_boxed_str());
    let up: &'static str = Box::leak(format!("../../../../../../../../..{leak}").into_boxed_str());
    let victim: &'static str = Box::leak(format!("{leak}/victim").into_boxed_str());
    let refused: Vec<(&str, Vec<Item>, &str)> = vec![
        ("dotdot", vec![Item::File("../evil", 0o644, "x")], "\"..\""),
        ("deep-dotdot", vec![Item::File("a/../../evil", 0o644, "x")], "\"..\""),
        ("hard-link-out", vec![Item::Hardlink("evil", "../../../etc/passwd")], "\"..\""),
        ("hard-link-absolute", vec![Item::Hardlink("evil", victim)], "not in the layer"),
        ("parent-is-file", vec![Item::File("f", 0o644, "x"), Item::File("f/evil", 0o644, "x")], "not a directory"),
        ("overlay-attribute", vec![Item::Attribute("evil", "trusted.overlay.redirect", b"/etc")], "not allowed"),
    ];
    for (name, items, expected) in refused {
        let archive = place.file(name, &docker("evil", &[layer(&items)]));
        let error = place.store.import(&archive).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("0/layer.tar!") && error.contains(expected), "{error}");
        place.assert_empty();
    }
    // These are led astray only if the host's root is taken for the layer's.
    let contained: Vec<(&str, Vec<Item>)> = vec![
        ("absolute", vec![Item::File(victim, 0o644, "evil")]),
        (
            "link-absolute",
            vec![Item::Symlink("l", leak), Item::Directory(leak, 0o755), Item::File("l/victim", 0o644, "evil")],
        ),
        ("link-up", vec![Item::Symlink("l", up), Item::Directory(leak, 0o755), Item::File("l/victim", 0o644, "evil")]),
        ("link-to-victim", vec![Item::Symlink("v", victim), Item::File("v", 0o644, "evil")]),
    ];
    for (name, items) in contained {
        let archive = place.file(name, &docker(name, &[layer(&items)]));
        place.store.import(&archive).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "untouched", "{name}");
    }
}

#[test]
fn a_dangling_link_as_parent_is_refused() {
    let Some(place) = Place::new() else { return };
    let items = [Item::Symlink("l", "/nowhere"), Item::File("l/file", 0o644, "x")];
    let error = place.store.import(&place.file("a", &docker("a", &[layer(&items)]))).unwrap_err();
    assert!(error.to_string().contains("l/file"), "{error}");
    place.assert_empty();
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let Some(place) = Place::new() else { return };
    let small = place.directory.path().join("small");
    fs::create_dir(&small).unwrap();
    mount(Some("small"), &small, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
    let store = minato_images::Store::open(&small).unwrap();
    let little = place.file("little", &docker("little", &[layer(&[Item::File("f", 0o644, "x")])]));
    store.import(&little).unwrap();
    let contents: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let big = place.file("big", &docker("big", &[layer(&[Item::File("etc/big", 0o644, contents)])]));
    let error = store.import(&big).unwrap_err().to_string();
    let (images, staging) = (store.list().unwrap().len(), fs::read_dir(small.join("staging")).unwrap().count());
    umount2(&small, MntFlags::MNT_DETACH).unwrap();
    assert!(error.contains("layer.tar!etc/big") && error.contains("No space left"), "{error}");
    assert_eq!((images, staging), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever single damage an archive has, the import ends with an error or an image, and never half of one.
    #[test]
    fn damage_is_noticed(position in 0usize..6000, value: u8) {
        let Some(place) = Place::new() else { return Ok(()) };
        let items = [Item::Directory("etc/", 0o755), Item::File("etc/hello", 0o644, "hello"), Item::Symlink("s", "etc")];
        let mut bytes = docker("app", &[layer(&items)]);
        let position = position % bytes.len();
        bytes[position] = value;
        if place.store.import(&place.file("archive", &bytes)).is_err() {
            place.assert_empty();
        } else {
            let image = place.store.list().unwrap().remove(0);
            prop_assert_eq!(fs::read_to_string(image.layers[0].join("etc/hello")).unwrap(), "hello");
        }
    }
}
