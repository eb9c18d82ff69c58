//! The forms that archives come in.

use std::fs;

use minato_images::ImageError;

use crate::archives::{Item, Place, config, docker, docker_files, gzip, hex, layer, oci_files, tarball};

fn hello() -> Vec<u8> {
    layer(&[Item::Directory("etc/", 0o755), Item::File("etc/hello", 0o644, "hello")])
}

#[test]
fn a_docker_archive_plain_and_compressed() {
    let Some(place) = Place::new() else { return };
    let layers = [hello(), layer(&[Item::File("second", 0o600, "2")])];
    let bytes = docker("app:1", &layers);
    for (file, bytes) in [("a.tar", bytes.clone()), ("a.tar.gz", gzip(&bytes))] {
        let imported = place.store.import(&place.file(file, &bytes)).unwrap();
        assert_eq!(imported[0].names, ["docker.io/library/app:1"]);
        let image = place.store.resolve("app:1").unwrap().unwrap();
        assert_eq!(image.digest, imported[0].digest);
        assert_eq!(image.layers.len(), 2);
        assert_eq!(fs::read_to_string(image.layers[0].join("etc/hello")).unwrap(), "hello");
        assert_eq!(fs::read_to_string(image.layers[1].join("second")).unwrap(), "2");
        assert_eq!(image.size_bytes, 6);
        assert_eq!(image.config.env, ["A=b"]);
        assert_eq!(image.config.entrypoint, ["/e"]);
        assert!(image.config.command.is_empty());
        assert_eq!((image.config.user.as_str(), image.config.stop_signal.as_str()), ("7", "SIGINT"));
        assert!(image.config.volumes.contains("/data"));
        assert_eq!(place.store.resolve(&image.digest).unwrap().unwrap(), image);
    }
    assert_eq!(place.store.list().unwrap().len(), 1);
    assert_eq!(place.names("layers").len(), 2);
}

#[test]
fn an_oci_layout_as_tarball_and_directory_takes_this_machines_platform() {
    let Some(place) = Place::new() else { return };
    let arm = layer(&[Item::File("arm", 0o644, "arm")]);
    let files = oci_files("example.com/app:2", &[(("linux", "arm64"), vec![arm]), (("linux", "amd64"), vec![hello()])]);
    let tarball = place.file("oci.tar", &tarball(&files));
    for (name, bytes) in &files {
        place.file(&format!("layout/{name}"), bytes);
    }
    for archive in [tarball, place.directory.path().join("layout")] {
        let imported = place.store.import(&archive).unwrap();
        assert_eq!(imported.len(), 1);
        assert_eq!(imported[0].names, ["example.com/app:2"]);
        let image = place.store.resolve("example.com/app:2").unwrap().unwrap();
        assert!(image.layers[0].join("etc/hello").exists());
        place.store.remove("example.com/app:2").unwrap();
        place.assert_empty();
    }
    let other = oci_files("a", &[(("linux", "arm64"), vec![hello()])]);
    let error = place.store.import(&place.file("arm.tar", &crate::archives::tarball(&other))).unwrap_err();
    assert!(matches!(&error, ImageError::Platform { found, .. } if found == &["linux/arm64"]), "{error}");
    place.assert_empty();
}

#[test]
fn layers_of_a_docker_archive_may_be_links() {
    let Some(place) = Place::new() else { return };
    let mut tar = tar::Builder::new(Vec::new());
    let mut files = docker_files("app", &[hello()]);
    files[0].0 = "real/layer.tar".into();
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "0/layer.tar", "../real/layer.tar").unwrap();
    place.store.import(&place.file("a.tar", &tar.into_inner().unwrap())).unwrap();
    assert!(place.store.resolve("app").unwrap().is_some());
}

#[test]
fn what_is_no_image_is_refused_with_the_files_name() {
    let Some(place) = Place::new() else { return };
    let good = docker("app", &[hello()]);
    let files = docker_files("app", &[hello()]);
    let without = |name: &str| {
        let files: Vec<_> = files.iter().filter(|(file, _)| !file.ends_with(name)).cloned().collect();
        tarball(&files)
    };
    let with = |name: &str, bytes: &[u8]| {
        let files = files
            .iter()
            .map(|(file, old)| (file.clone(), if file.ends_with(name) { bytes.to_vec() } else { old.clone() }));
        tarball(&files.collect::<Vec<_>>())
    };
    let mut flipped = hello();
    flipped[600] ^= 1;
    let wrong_config = config(&[hello()], ("linux", "amd64")).to_ascii_lowercase();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no entries"),
        ("text", b"this is not a tarball, and is not one by far".repeat(40), "it is no tarball"),
        ("gzip-of-nothing", gzip(b""), "no entries"),
        ("cut-gzip", gzip(&good)[..300].to_vec(), "cut-gzip"),
        ("no-manifest", without("manifest.json"), "neither manifest.json"),
        ("no-layer", without("layer.tar"), "\"0/layer.tar\": missing"),
        ("bad-manifest", with("manifest.json", b"{"), "manifest.json"),
        ("no-images", with("manifest.json", b"[]"), "no image"),
        ("bad-config", with(&format!("{}.json", hex(&config(&[hello()], ("linux", "amd64")))), b"[]"), "digest"),
        (
            "config-digest",
            with(&format!("{}.json", hex(&config(&[hello()], ("linux", "amd64")))), &wrong_config),
            "digest",
        ),
        ("layer-digest", with("layer.tar", &layer(&[Item::File("other", 0o644, "x")])), "digest is sha256:"),
        ("damaged-layer", with("layer.tar", &flipped), "layer.tar"),
        ("cut", good[..good.len() / 2].to_vec(), ""),
        ("zstd", with("layer.tar", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), "zstd"),
    ];
    for (name, bytes, expected) in cases {
        let error = place.store.import(&place.file(name, &bytes)).expect_err(name);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(expected), "{name}: {text}");
        place.assert_empty();
    }
    let error = place.store.import(&place.directory.path().join("missing")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    place.store.import(&place.file("good", &good)).unwrap();
}
