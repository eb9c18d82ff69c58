//! What an archive says it has: Docker's `manifest.json`, or an OCI layout's `index.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::archive::Archive;
use crate::{ImageConfig, ImageError, ImageName, digest};

/// An image that can be unpacked: everything but the layers has been read and checked.
pub(crate) struct Plan {
    /// The digest of the configuration.
    pub(crate) digest: String,
    pub(crate) names: BTreeSet<String>,
    pub(crate) config: ImageConfig,
    /// The lowest first.
    pub(crate) layers: Vec<LayerPlan>,
    pub(crate) manifests: BTreeSet<String>,
}

pub(crate) struct LayerPlan {
    /// Its name in the archive.
    pub(crate) part: String,
    /// The digest of the part itself, if the archive tells.
    pub(crate) digest: Option<String>,
    /// The digest of the uncompressed tar: 64 hexadecimal digits.
    pub(crate) diff_id: String,
}

const LAYERS_MAX: usize = 127;
const INDEX_DEPTH_MAX: usize = 4;
const IMAGES_MAX: usize = 1_000;

/// The images of an archive for this kind of machine, at least one.
pub(crate) fn read(archive: &Archive) -> Result<Vec<Plan>, ImageError> {
    let plans = read_plans(archive)?;
    if plans.is_empty() {
        return Err(archive.entry("manifest.json", "there is no image in it"));
    }
    Ok(plans)
}

fn read_plans(archive: &Archive) -> Result<Vec<Plan>, ImageError> {
    let docker = archive.has("manifest.json");
    if archive.has("index.json") {
        let mut plans = read_oci(archive)?;
        if docker {
            // `docker save` writes both; its own manifest may know more names.
            for image in json::<Vec<DockerImage>>(archive, "manifest.json")? {
                let digest = digest::of(&archive.document(&image.config)?);
                for plan in plans.iter_mut().filter(|plan| plan.digest == digest) {
                    plan.names.append(&mut complete_names(archive, image.repo_tags.as_deref().unwrap_or_default())?);
                }
            }
        }
        return Ok(plans);
    }
    if docker {
        return read_docker(archive);
    }
    Err(ImageError::Archive {
        archive: archive.path().to_owned(),
        reason: "not an image: neither manifest.json (docker save) nor index.json (OCI layout) is in it".to_owned(),
    })
}

#[derive(Deserialize)]
struct DockerImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    repo_tags: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Vec<String>,
}

fn read_docker(archive: &Archive) -> Result<Vec<Plan>, ImageError> {
    let images: Vec<DockerImage> = json(archive, "manifest.json")?;
    let plans = images.into_iter().map(|image| {
        let bytes = archive.document(&image.config)?;
        let digest = digest::of(&bytes);
        // The file is named by its digest, in both of Docker's forms.
        let base = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
        if crate::name::is_hex(&base) && digest != format!("sha256:{base}") {
            return Err(ImageError::Digest {
                archive: archive.path().to_owned(),
                entry: image.config,
                expected: format!("sha256:{base}"),
                found: digest,
            });
        }
        let names = complete_names(archive, image.repo_tags.as_deref().unwrap_or_default())?;
        let layers = image.layers.into_iter().map(|part| (part, None)).collect();
        plan(archive, Source { config_part: image.config, config: bytes, digest, names, layers, manifest: None })
    });
    plans.collect()
}

#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

fn read_oci(archive: &Archive) -> Result<Vec<Plan>, ImageError> {
    let index: OciIndex = json(archive, "index.json")?;
    let mut found = Found::default();
    collect(archive, &index, &BTreeSet::new(), 0, &mut found)?;
    if found.manifests.is_empty() {
        return Err(ImageError::Platform { archive: archive.path().to_owned(), found: found.platforms });
    }
    let mut plans: Vec<Plan> = Vec::new();
    for (descriptor, names) in found.manifests {
        let manifest: OciManifest = blob(archive, &descriptor.digest)?;
        let config = blob_bytes(archive, &manifest.config.digest)?;
        let layers =
            manifest.layers.iter().map(|layer| Ok((blob_name(archive, &layer.digest)?, Some(layer.digest.clone()))));
        let source = Source {
            config_part: blob_name(archive, &manifest.config.digest)?,
            config,
            digest: manifest.config.digest,
            names,
            layers: layers.collect::<Result<_, ImageError>>()?,
            manifest: Some(descriptor.digest),
        };
        let mut plan = plan(archive, source)?;
        match plans.iter_mut().find(|known| known.digest == plan.digest) {
            Some(known) => known.names.append(&mut plan.names),
            None => plans.push(plan),
        }
    }
    Ok(plans)
}

/// What the walk through nested indexes found.
#[derive(Default)]
struct Found {
    manifests: Vec<(Descriptor, BTreeSet<String>)>,
    platforms: Vec<String>,
}

fn collect(
    archive: &Archive,
    index: &OciIndex,
    inherited: &BTreeSet<String>,
    depth: usize,
    found: &mut Found,
) -> Result<(), ImageError> {
    if depth > INDEX_DEPTH_MAX || found.manifests.len() > IMAGES_MAX {
        return Err(archive.entry("index.json", "too many nested indexes or images"));
    }
    for descriptor in &index.manifests {
        if let Some(platform) = &descriptor.platform {
            let platform = format!("{}/{}", platform.os, platform.architecture);
            if platform != "linux/amd64" {
                found.platforms.push(platform);
                continue;
            }
        }
        let mut names = inherited.clone();
        names.append(&mut annotated_names(descriptor));
        let is_index = descriptor.media_type.contains("image.index") || descriptor.media_type.contains("manifest.list");
        if is_index {
            let nested: OciIndex = blob(archive, &descriptor.digest)?;
            collect(archive, &nested, &names, depth + 1, found)?;
        } else {
            found.manifests.push((descriptor.clone(), names));
        }
    }
    Ok(())
}

/// Builders write the full name, or only a tag, which is no name.
fn annotated_names(descriptor: &Descriptor) -> BTreeSet<String> {
    let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
    let names = keys.iter().filter_map(|key| descriptor.annotations.get(*key));
    let names = names.filter(|name| name.contains([':', '/'])).filter_map(|name| name.parse::<ImageName>().ok());
    names.map(|name| name.to_string()).collect()
}

struct Source {
    config_part: String,
    config: Vec<u8>,
    digest: String,
    names: BTreeSet<String>,
    layers: Vec<(String, Option<String>)>,
    manifest: Option<String>,
}

#[derive(Deserialize)]
struct ConfigDocument {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RunConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

fn plan(archive: &Archive, source: Source) -> Result<Plan, ImageError> {
    let document: ConfigDocument = serde_json::from_slice(&source.config)
        .map_err(|error| archive.entry(&source.config_part, &format!("not an image configuration: {error}")))?;
    let platform = format!("{}/{}", document.os, document.architecture);
    if platform != "linux/amd64" && platform != "/" {
        return Err(ImageError::Platform { archive: archive.path().to_owned(), found: vec![platform] });
    }
    let diff_ids = document.rootfs.diff_ids;
    if diff_ids.len() != source.layers.len() {
        let reason = format!("{} diff ids for {} layers", diff_ids.len(), source.layers.len());
        return Err(archive.entry(&source.config_part, &reason));
    }
    if diff_ids.len() > LAYERS_MAX {
        return Err(archive.entry(&source.config_part, "more than 127 layers"));
    }
    let layers = source.layers.into_iter().zip(diff_ids).map(|((part, digest), diff_id)| {
        if !crate::name::is_digest(&diff_id) {
            return Err(archive.entry(&source.config_part, &format!("diff id {diff_id:?} is not a SHA-256 digest")));
        }
        Ok(LayerPlan { part, digest, diff_id: diff_id.trim_start_matches("sha256:").to_owned() })
    });
    let run = document.config.unwrap_or_default();
    Ok(Plan {
        digest: source.digest,
        names: source.names,
        layers: layers.collect::<Result<_, ImageError>>()?,
        config: ImageConfig {
            env: run.env.unwrap_or_default(),
            entrypoint: run.entrypoint.unwrap_or_default(),
            command: run.cmd.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            stop_signal: run.stop_signal.unwrap_or_default(),
            labels: run.labels.unwrap_or_default(),
            volumes: run.volumes.unwrap_or_default().into_keys().collect(),
        },
        manifests: source.manifest.into_iter().collect(),
    })
}

fn complete_names(archive: &Archive, tags: &[String]) -> Result<BTreeSet<String>, ImageError> {
    let names = tags.iter().map(|tag| {
        tag.parse::<ImageName>()
            .map(|name| name.to_string())
            .map_err(|error| archive.entry("manifest.json", &error.to_string()))
    });
    names.collect()
}

fn json<T: DeserializeOwned>(archive: &Archive, name: &str) -> Result<T, ImageError> {
    serde_json::from_slice(&archive.document(name)?).map_err(|error| archive.entry(name, &error.to_string()))
}

fn blob<T: DeserializeOwned>(archive: &Archive, digest: &str) -> Result<T, ImageError> {
    let name = blob_name(archive, digest)?;
    serde_json::from_slice(&blob_bytes(archive, digest)?).map_err(|error| archive.entry(&name, &error.to_string()))
}

fn blob_bytes(archive: &Archive, expected: &str) -> Result<Vec<u8>, ImageError> {
    let name = blob_name(archive, expected)?;
    let bytes = archive.document(&name)?;
    let found = digest::of(&bytes);
    if found != expected {
        let archive = archive.path().to_owned();
        return Err(ImageError::Digest { archive, entry: name, expected: expected.to_owned(), found });
    }
    Ok(bytes)
}

fn blob_name(archive: &Archive, digest: &str) -> Result<String, ImageError> {
    if !crate::name::is_digest(digest) {
        return Err(archive.entry("index.json", &format!("digest {digest:?} is not a SHA-256 digest")));
    }
    Ok(format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")))
}
