//! Archives to import, made in memory.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use minato_images::Store;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// One entry of a layer.
pub enum Item {
    Directory(&'static str, u32),
    File(&'static str, u32, &'static str),
    Symlink(&'static str, &'static str),
    Hardlink(&'static str, &'static str),
    Device(&'static str, u32, u32),
    Fifo(&'static str),
    /// A file with an extended attribute.
    Attribute(&'static str, &'static str, &'static [u8]),
}

/// A tar of these entries; names are written as they are.
pub fn layer(items: &[Item]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_mode(0o644);
        header.set_size(0);
        let mut link = None;
        let mut data: &[u8] = &[];
        let name = match item {
            Item::Directory(name, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                name
            }
            Item::File(name, mode, contents) => {
                header.set_mode(*mode);
                header.set_uid(1000);
                data = contents.as_bytes();
                name
            }
            Item::Symlink(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                link = Some(target);
                name
            }
            Item::Hardlink(name, target) => {
                header.set_entry_type(tar::EntryType::Link);
                link = Some(target);
                name
            }
            Item::Device(name, major, minor) => {
                header.set_entry_type(tar::EntryType::Char);
                header.set_device_major(*major).unwrap();
                header.set_device_minor(*minor).unwrap();
                name
            }
            Item::Fifo(name) => {
                header.set_entry_type(tar::EntryType::Fifo);
                name
            }
            Item::Attribute(name, key, value) => {
                tar.append_pax_extensions([(format!("SCHILY.xattr.{key}").as_str(), *value)]).unwrap();
                name
            }
        };
        // Not through the builder's checks: hostile names are wanted.
        let field = &mut header.as_old_mut().name;
        field.fill(0);
        field[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image configuration for these layers.
pub fn config(layers: &[Vec<u8>], platform: (&str, &str)) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| format!("\"sha256:{}\"", hex(layer))).collect();
    format!(
        r#"{{"os":"{}","architecture":"{}","config":{{"Env":["A=b"],"Entrypoint":["/e"],"Cmd":null,"User":"7","StopSignal":"SIGINT",
        "Volumes":{{"/data":{{}}}},"Labels":{{"l":"m"}}}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        platform.0,
        platform.1,
        ids.join(",")
    )
    .into_bytes()
}

/// A tarball of files.
pub fn tarball(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The files of a `docker save` archive.
pub fn docker_files(name: &str, layers: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let config = config(layers, ("linux", "amd64"));
    let config_name = format!("{}.json", hex(&config));
    let parts: Vec<String> = (0..layers.len()).map(|number| format!("\"{number}/layer.tar\"")).collect();
    let manifest = format!(r#"[{{"Config":"{config_name}","RepoTags":["{name}"],"Layers":[{}]}}]"#, parts.join(","));
    let mut files: Vec<_> =
        layers.iter().enumerate().map(|(number, layer)| (format!("{number}/layer.tar"), layer.clone())).collect();
    files.push((config_name, config));
    files.push(("manifest.json".into(), manifest.into_bytes()));
    files
}

pub fn docker(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    tarball(&docker_files(name, layers))
}

/// Operating system and architecture, and the layers of the image for them.
pub type Platform<'a> = ((&'a str, &'a str), Vec<Vec<u8>>);

/// The files of an OCI layout with an image per platform under one nested index.
pub fn oci_files(name: &str, platforms: &[Platform<'_>]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    let mut blob = |bytes: Vec<u8>| {
        let digest = hex(&bytes);
        let size = bytes.len();
        files.push((format!("blobs/sha256/{digest}"), bytes));
        (format!("sha256:{digest}"), size)
    };
    let mut manifests = Vec::new();
    for (platform, layers) in platforms {
        let (config_digest, config_size) = blob(config(layers, *platform));
        let layers: Vec<String> = layers
            .iter()
            .map(|layer| {
                let (digest, size) = blob(gzip(layer));
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":{size}}}"#
                )
            })
            .collect();
        let (digest, size) = blob(
            format!(
                r#"{{"schemaVersion":2,"config":{{"digest":"{config_digest}","size":{config_size}}},"layers":[{}]}}"#,
                layers.join(",")
            )
            .into_bytes(),
        );
        manifests.push(format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},
            "platform":{{"os":"{}","architecture":"{}"}}}}"#,
            platform.0, platform.1
        ));
    }
    let (digest, size) = blob(format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(",")).into_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":{size},
        "annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#
    );
    files.push(("index.json".into(), index.into_bytes()));
    files
}

/// A store in a directory of its own, and a place for archives.
pub struct Place {
    pub directory: TempDir,
    pub store: Store,
}

impl Place {
    /// `None`, and a line that says why, without root.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        Some(Self { directory, store })
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Imports one layer as the image `name` and returns where it was unpacked.
    pub fn unpack(&self, name: &str, items: &[Item]) -> PathBuf {
        let archive = self.file(&format!("{name}.tar"), &docker(name, &[layer(items)]));
        self.store.import(&archive).unwrap();
        self.store.resolve(name).unwrap().unwrap().layers[0].clone()
    }

    /// The store has no image, layer or unfinished import.
    pub fn assert_empty(&self) {
        assert!(self.store.list().unwrap().is_empty());
        for part in ["layers", "staging", "leases"] {
            assert_eq!(self.names(part), Vec::<String>::new(), "{part}");
        }
    }

    pub fn names(&self, part: &str) -> Vec<String> {
        names(&self.directory.path().join("store").join(part))
    }
}

pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
