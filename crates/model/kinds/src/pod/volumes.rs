//! Volumes of pods.

mod projected;
pub(crate) mod remote;

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Context;
use super::env;
use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::resources;
use crate::seen::Seen;

/// The order in which the API looks at volume sources: the second one found is one too many.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

fn position(source: &str) -> Option<usize> {
    SOURCES.iter().position(|name| *name == source)
}

/// The sources a volume has, in no order.
fn sources(volume: &Value) -> impl Iterator<Item = (usize, &'static str, &Value)> {
    let fields = volume.as_object().into_iter().flatten();
    fields.filter(|(name, source)| name.as_str() != "name" && !source.is_null()).filter_map(|(name, source)| {
        let position = position(name)?;
        Some((position, *SOURCES.get(position)?, source))
    })
}

/// The file mode of projected files.
const MODE: i64 = 0o644;

/// Defaults of one volume.
pub(super) fn default(volume: &mut Value) {
    let Value::Object(fields) = volume else { return };
    let mut found = false;
    for (name, source) in fields.iter_mut().filter(|(name, source)| !source.is_null() && position(name).is_some()) {
        found = true;
        default_source(name, source);
    }
    if !found {
        fields.insert("emptyDir".to_owned(), json!({}));
    }
}

fn default_source(name: &str, source: &mut Value) {
    match name {
        "emptyDir" => resources::canonicalise(source, "sizeLimit"),
        "hostPath" => source.fill("type", ""),
        "secret" | "configMap" => source.fill("defaultMode", MODE),
        "downwardAPI" => {
            source.fill("defaultMode", MODE);
            source.each("items").for_each(super::defaults::field_source);
        }
        "projected" => {
            source.fill("defaultMode", MODE);
            for projection in source.each("sources") {
                if let Some(token) = projection.inside("serviceAccountToken") {
                    token.fill("expirationSeconds", 3600);
                }
                if let Some(files) = projection.inside("downwardAPI") {
                    files.each("items").for_each(super::defaults::field_source);
                }
            }
        }
        "image" => {
            let policy = super::defaults::pull_policy(source.text("reference"));
            source.fill_text("pullPolicy", policy);
        }
        "ephemeral" => {
            if let Some(spec) = source.inside("volumeClaimTemplate").and_then(|template| template.inside("spec")) {
                crate::volume_claim::default_spec(spec);
            }
        }
        _ => remote::default(name, source),
    }
}

/// What containers may mount: volumes by name.
pub(super) struct Volumes<'a>(HashMap<&'a str, &'a Value>);

impl<'a> Volumes<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).copied()
    }
}

/// Checks the volumes of a pod spec; answers those that containers may mount.
pub(super) fn validate<'a>(spec: &'a Value, context: &Context<'_>, at: &At<'_>, errors: &mut Errors) -> Volumes<'a> {
    let list = spec.list("volumes");
    let mut volumes: HashMap<&str, &Value> = HashMap::with_capacity(list.len());
    let created = Seen::of(list.iter().filter(|volume| volume.has("ephemeral")).map(|volume| volume.text("name")));
    let at = at.field("volumes");
    for (index, volume) in list.iter().enumerate() {
        let at = at.index(index);
        let before = errors.len();
        let name = volume.text("name");
        source(volume, name, context, &at, errors);
        check::required_named(volume, "name", names::dns_label, &at, errors);
        if volumes.contains_key(name) {
            errors.duplicate(&at.field("name"), name);
        }
        if errors.len() == before {
            volumes.insert(name, volume);
        }
        if let Some(claim) = volume.at("persistentVolumeClaim").filter(|_| !context.name.is_empty()) {
            created_claim(claim, &created, context, &at, errors);
        }
    }
    Volumes(volumes)
}

/// A claim that is made for an ephemeral volume of the same pod cannot be used as a claim that exists.
fn created_claim(claim: &Value, created: &Seen<&str>, context: &Context<'_>, at: &At<'_>, errors: &mut Errors) {
    let name = claim.text("claimName");
    let of_pod = name.strip_prefix(context.name).and_then(|rest| rest.strip_prefix('-'));
    if of_pod.is_some_and(|volume| created.has(volume)) {
        let at = at.field("persistentVolumeClaim");
        errors.invalid(
            &at.field("claimName"),
            name,
            "must not reference a PVC that gets created for an ephemeral volume",
        );
    }
}

fn source(volume: &Value, volume_name: &str, context: &Context<'_>, at: &At<'_>, errors: &mut Errors) {
    let Some((first, name, source)) = sources(volume).min_by_key(|(position, ..)| *position) else {
        errors.required(at, "must specify a volume type");
        return;
    };
    let here = at.field(name);
    match name {
        "emptyDir" => {
            if resources::quantity_of(source, "sizeLimit").is_some_and(|limit| limit.signum() < 0) {
                errors.forbidden(&here.field("sizeLimit"), "SizeLimit field must be a valid resource quantity");
            }
        }
        "hostPath" => host_path(source, &here, errors),
        "secret" => files(source, "secretName", &here, errors),
        "configMap" => files(source, "name", &here, errors),
        "persistentVolumeClaim" => check::required(source, "claimName", &here, errors),
        "downwardAPI" => downward(source, &here, errors),
        "projected" => projected::validate(source, &here, errors),
        "image" => {
            check::required(source, "reference", &here, errors);
            super::containers::pull_policy(source, "pullPolicy", &here, errors);
        }
        "ephemeral" => ephemeral(source, volume_name, context, at, errors),
        _ => remote::validate(name, source, volume_name, at, errors),
    }
    let mut more: Vec<(usize, &str, &Value)> = sources(volume).filter(|(position, ..)| *position != first).collect();
    more.sort_by_key(|(position, ..)| *position);
    for (_, name, _) in more {
        // Three paths are spelt this way in the reference.
        let name = match name {
            "downwardAPI" => "downwarAPI",
            "cephfs" => "cephFS",
            name => name,
        };
        errors.forbidden(&at.field(name), "may not specify more than 1 volume type");
    }
}

fn host_path(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let path = source.text("path");
    if path.is_empty() {
        errors.required(&at.field("path"), "");
        return;
    }
    check::no_backsteps(path, &at.field("path"), errors);
    check::one_of_if(source, "type", &HOST_PATH_TYPES, at, errors);
}

/// A ConfigMap or Secret as files.
fn files(source: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    check::required(source, name, at, errors);
    check::file_mode(source, "defaultMode", at, errors);
    let at = at.field("items");
    for (index, item) in source.list("items").iter().enumerate() {
        key_to_path(item, &at.index(index), errors);
    }
}

fn key_to_path(item: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required(item, "key", at, errors);
    check::required(item, "path", at, errors);
    check::non_reserved_path(item.text("path"), &at.field("path"), errors);
    check::file_mode(item, "mode", at, errors);
}

const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward(source: &Value, at: &At<'_>, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", at, errors);
    for file in source.list("items") {
        downward_file(file, at, errors);
    }
}

fn downward_file(file: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required(file, "path", at, errors);
    check::non_reserved_path(file.text("path"), &at.field("path"), errors);
    match (file.at("fieldRef"), file.at("resourceFieldRef")) {
        (Some(field), resource) => {
            env::field_reference(field, &FILE_FIELDS, &at.field("fieldRef"), errors);
            if resource.is_some() {
                errors.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
            }
        }
        (None, Some(resource)) => env::resource_reference(resource, true, &at.field("resourceFieldRef"), errors),
        (None, None) => errors.required(at, "one of fieldRef and resourceFieldRef is required"),
    }
    check::file_mode(file, "mode", at, errors);
}

fn ephemeral(source: &Value, volume_name: &str, context: &Context<'_>, at: &At<'_>, errors: &mut Errors) {
    let here = at.field("ephemeral");
    let here = here.field("volumeClaimTemplate");
    match source.at("volumeClaimTemplate") {
        None => errors.required(&here, ""),
        Some(template) => {
            let metadata = template.or_null("metadata");
            let metadata_at = here.field("metadata");
            crate::metadata::labels(metadata, &metadata_at.field("labels"), errors);
            crate::metadata::annotations(metadata, &metadata_at.field("annotations"), errors);
            crate::volume_claim::spec(template.or_null("spec"), &here.field("spec"), errors);
        }
    }
    if !context.name.is_empty() && !volume_name.is_empty() {
        let claim = format!("{}-{volume_name}", context.name);
        for message in names::dns_subdomain(&claim) {
            errors.invalid(&at.field("name"), volume_name, format!("PVC name {claim:?}: {message}"));
        }
    }
}
