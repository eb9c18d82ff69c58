//! One program as an OCI image in a tarball that Docker, containerd and Minato load.
//!
//! The tarball is an OCI image layout (`oci-layout`, `index.json`, `blobs/sha256/…`) with a `manifest.json` beside it
//! for `docker load` of Docker before version 25. It depends on nothing but the program: same program, same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
const USER: &str = "65532:65532";

/// What goes into an image.
pub(crate) struct Image<'a> {
    /// Full names with tags.
    pub(crate) names: &'a [String],
    /// The file name of the program, which is the entry point.
    pub(crate) program: &'a str,
    /// Its content: a static executable.
    pub(crate) binary: &'a [u8],
    /// The port that it listens on.
    pub(crate) port: u16,
}

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes);
        let digest = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

/// Writes the tarball; it appears whole or not at all.
pub(crate) fn write(path: &Path, image: &Image<'_>) -> anyhow::Result<()> {
    let staging = path.with_extension("tar.new");
    let file = File::create(&staging).with_context(|| format!("creating {}", staging.display()))?;
    let mut writer = BufWriter::new(file);
    pack(&mut writer, image).with_context(|| format!("writing {}", staging.display()))?;
    writer.flush()?;
    std::fs::rename(&staging, path).with_context(|| format!("creating {}", path.display()))
}

fn pack(writer: impl Write, image: &Image<'_>) -> anyhow::Result<()> {
    let layer = Blob::new(layer(image)?);
    let config = Blob::json(&json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": USER,
            "ExposedPorts": { format!("{}/tcp", image.port): {} },
            "Env": ["PATH=/"],
            "Entrypoint": [format!("/{}", image.program)],
            "WorkingDir": "/",
            "StopSignal": "SIGTERM",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        "history": [{ "created_by": "cargo xtask images" }],
    }));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
    }));
    let manifests: Vec<Value> = image.names.iter().map(|name| named(&manifest, name)).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    let docker = json!([{ "Config": config.path(), "RepoTags": image.names, "Layers": [layer.path()] }]);

    let mut tar = Builder::new(writer);
    file(&mut tar, "oci-layout", 0o644, json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes())?;
    file(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
    file(&mut tar, "manifest.json", 0o644, docker.to_string().as_bytes())?;
    folder(&mut tar, "blobs/", 0o755)?;
    folder(&mut tar, "blobs/sha256/", 0o755)?;
    for blob in [&manifest, &config, &layer] {
        file(&mut tar, &blob.path(), 0o644, &blob.bytes)?;
    }
    tar.finish()?;
    Ok(())
}

/// The index entry of a name: containerd reads the first annotation, other tools the second.
fn named(manifest: &Blob, name: &str) -> Value {
    let mut descriptor = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    descriptor["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    descriptor["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    descriptor
}

/// The root file system: the program, its users, a place for temporary files.
fn layer(image: &Image<'_>) -> anyhow::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    folder(&mut tar, "etc/", 0o755)?;
    file(&mut tar, "etc/group", 0o644, GROUP.as_bytes())?;
    file(&mut tar, "etc/passwd", 0o644, PASSWD.as_bytes())?;
    file(&mut tar, image.program, 0o755, image.binary)?;
    folder(&mut tar, "tmp/", 0o1777)?;
    Ok(tar.into_inner()?)
}

fn file(tar: &mut Builder<impl Write>, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    let mut header = header(EntryType::Regular, mode);
    header.set_size(content.len().try_into()?);
    Ok(tar.append_data(&mut header, path, content)?)
}

fn folder(tar: &mut Builder<impl Write>, path: &str, mode: u32) -> anyhow::Result<()> {
    Ok(tar.append_data(&mut header(EntryType::Directory, mode), path, std::io::empty())?)
}

/// Owned by root, made at the beginning of time.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn unpacked(tarball: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tarball);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), content)
        });
        entries.collect()
    }

    #[test]
    fn every_reference_leads_to_a_blob_of_that_digest() {
        let names = ["minato.local/p:1".to_owned(), "minato.local/p:latest".to_owned()];
        let image = Image { names: &names, program: "p", binary: b"program", port: 80 };
        let pack = || {
            let mut tarball = Vec::new();
            super::pack(&mut tarball, &image).unwrap();
            tarball
        };
        let tarball = pack();
        assert_eq!(tarball, pack(), "the same program gives the same bytes");

        let files = unpacked(&tarball);
        for (path, content) in &files {
            if let Some(digest) = path.strip_prefix("blobs/sha256/").filter(|digest| !digest.is_empty()) {
                assert_eq!(Blob::new(content.clone()).digest, digest);
            }
        }
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let content = &files[&format!("blobs/sha256/{digest}")];
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        let read = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
        let index = read(&files["index.json"]);
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        let manifest = read(&blob(&index["manifests"][0]));
        let config = read(&blob(&manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"], json!(["/p"]));
        let layer = unpacked(&blob(&manifest["layers"][0]));
        assert_eq!(layer["p"], b"program");
        let docker = read(&files["manifest.json"]);
        assert!(files.contains_key(docker[0]["Config"].as_str().unwrap()));
        assert!(files.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
    }

    #[test]
    fn a_tarball_appears_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.tar");
        write(&path, &Image { names: &["x:1".to_owned()], program: "p", binary: b"", port: 80 }).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
