//! Volumes that live elsewhere: network file systems, cloud disks, CSI. Also used by PersistentVolumes.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};

/// Sources of which no more is asked than that some texts are there.
const REQUIRED: [(&str, &[&str]); 12] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("vsphereVolume", &["volumePath"]),
];

pub(crate) fn default(name: &str, source: &mut Value) {
    match name {
        "iscsi" => source.fill_text("iscsiInterface", "default"),
        "rbd" => {
            source.fill_text("pool", "rbd");
            source.fill_text("user", "admin");
            source.fill_text("keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            source.fill("cachingMode", "ReadWrite");
            source.fill("kind", "Shared");
            source.fill("fsType", "ext4");
            source.fill("readOnly", false);
        }
        "scaleIO" => {
            source.fill_text("storageMode", "ThinProvisioned");
            source.fill_text("fsType", "xfs");
        }
        _ => {}
    }
}

/// Checks the source `name` of the volume at `at`.
pub(crate) fn validate(name: &str, source: &Value, volume_name: &str, at: &At<'_>, errors: &mut Errors) {
    // Spelt this way in the reference.
    let here = at.field(if name == "gcePersistentDisk" { "persistentDisk" } else { name });
    if let Some((_, required)) = REQUIRED.iter().find(|(known, _)| *known == name) {
        for field in *required {
            check::required(source, field, &here, errors);
        }
    }
    match name {
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            if let Some(partition) = source.int("partition").filter(|partition| !(0..=255).contains(partition)) {
                errors.invalid(&here.field("partition"), partition, "must be between 1 and 255, inclusive");
            }
        }
        "gitRepo" => check::descending_path(source.text("directory"), &here.field("directory"), errors),
        "nfs" => nfs(source, &here, errors),
        "iscsi" => iscsi(source, volume_name, at, &here, errors),
        "fc" => fibre_channel(source, &here, errors),
        "flocker" => flocker(source, &here, errors),
        "quobyte" => quobyte(source, &here, errors),
        "cephfs" | "rbd" => {
            if source.list("monitors").is_empty() {
                errors.required(&here.field("monitors"), "");
            }
            if name == "rbd" {
                check::required(source, "image", &here, errors);
            }
        }
        "cinder" => secret_name(source, "secretRef", &here, errors),
        "flexVolume" => flex_options(source, &here, errors),
        "azureDisk" => azure_disk(source, &here, errors),
        "storageos" => {
            check::required_named(source, "volumeName", names::dns_label, &here, errors);
            check::named(source, "volumeNamespace", names::dns_label, &here, errors);
            secret_name(source, "secretRef", &here, errors);
        }
        "csi" => csi(source, &here, errors),
        _ => {}
    }
}

fn secret_name(source: &Value, field: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(secret) = source.at(field) {
        check::required(secret, "name", &at.field(field), errors);
    }
}

fn nfs(source: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required(source, "server", at, errors);
    check::required(source, "path", at, errors);
    let path = source.text("path");
    if !path.starts_with('/') {
        errors.invalid(&at.field("path"), path, "must be an absolute path");
    }
}

fn is_iscsi_name(name: &str) -> bool {
    let alphanumeric =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some(rest) = name.strip_prefix("iqn.") {
        // iqn.2001-04.com.example:storage
        let bytes = rest.as_bytes();
        return bytes.len() > 8
            && bytes[..4].iter().all(u8::is_ascii_digit)
            && bytes[4] == b'-'
            && bytes[5..7].iter().all(u8::is_ascii_digit)
            && bytes[7] == b'.';
    }
    match (name.strip_prefix("eui."), name.strip_prefix("naa.")) {
        (Some(rest), _) => alphanumeric(rest, 16),
        (_, Some(rest)) => alphanumeric(rest, 32),
        _ => false,
    }
}

fn iscsi_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    if !["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix)) {
        errors.invalid(at, name, "must be valid format starting with iqn, eui, or naa");
    } else if !is_iscsi_name(name) {
        errors.invalid(at, name, "must be valid format");
    }
}

fn iscsi(source: &Value, volume_name: &str, at: &At<'_>, here: &At<'_>, errors: &mut Errors) {
    check::required(source, "targetPortal", here, errors);
    match source.text("iqn") {
        "" => errors.required(&here.field("iqn"), ""),
        name => iscsi_name(name, &here.field("iqn"), errors),
    }
    let lun = source.int("lun").unwrap_or(0);
    if !(0..=255).contains(&lun) {
        errors.invalid(&here.field("lun"), lun, "must be between 0 and 255, inclusive");
    }
    if (source.is("chapAuthDiscovery") || source.is("chapAuthSession")) && !source.has("secretRef") {
        errors.required(&here.field("secretRef"), "");
    }
    if let Some(initiator) = source.text_if("initiatorName") {
        iscsi_name(initiator, &here.field("initiatorname"), errors);
        if volume_name.len() + 1 + source.text("targetPortal").len() > 64 {
            let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            errors.invalid(&at.field("name"), volume_name, detail);
        }
    }
}

fn fibre_channel(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (names, ids) = (source.list("targetWWNs"), source.list("wwids"));
    if names.is_empty() && ids.is_empty() {
        errors.required(&at.field("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.invalid(&at.field("targetWWNs"), names.to_vec(), detail);
    }
    if !names.is_empty() {
        match source.int("lun") {
            None => errors.required(&at.field("lun"), "lun is required if targetWWNs is specified"),
            Some(lun) if !(0..=255).contains(&lun) => {
                errors.invalid(&at.field("lun"), lun, "must be between 0 and 255, inclusive");
            }
            Some(_) => {}
        }
    }
}

fn flocker(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let (name, uuid) = (source.text("datasetName"), source.text("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        errors.required(at, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        errors.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        errors.invalid(&at.field("datasetName"), name, "must not contain '/'");
    }
}

fn quobyte(source: &Value, at: &At<'_>, errors: &mut Errors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.text("registry");
    if registry.is_empty() {
        errors.required(&at.field("registry"), PAIRS);
    } else if source.text("tenant").len() >= 65 {
        errors.required(&at.field("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.split(',') {
            if pair.rsplit_once(':').is_none_or(|(host, _)| host.contains(':') && !host.starts_with('[')) {
                errors.invalid(&at.field("registry"), registry, PAIRS);
            }
        }
    }
    check::required(source, "volume", at, errors);
}

fn flex_options(source: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("options");
    for key in source.map("options").into_iter().flat_map(serde_json::Map::keys) {
        let namespace = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            errors.invalid(&at.key(key), key.as_str(), "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(source: &Value, at: &At<'_>, errors: &mut Errors) {
    check::one_of_if(source, "cachingMode", &["None", "ReadOnly", "ReadWrite"], at, errors);
    check::one_of_if(source, "kind", &["Dedicated", "Managed", "Shared"], at, errors);
    let uri = source.text("diskURI");
    match source.text("kind") {
        "" => {}
        "Managed" if !uri.starts_with("/subscriptions/") => {
            let supported =
                "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            errors.not_supported(&at.field("diskURI"), uri, &[supported]);
        }
        "Managed" => {}
        _ if !uri.starts_with("https://") => {
            let supported = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
            errors.not_supported(&at.field("diskURI"), uri, &[supported]);
        }
        _ => {}
    }
}

/// Checks the name of a CSI driver.
pub(crate) fn csi_driver(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    if name.len() > 63 {
        errors.too_long(at, 63);
    }
    errors.each_invalid(at, name, names::dns_subdomain(&name.to_lowercase()));
}

fn csi(source: &Value, at: &At<'_>, errors: &mut Errors) {
    csi_driver(source.text("driver"), &at.field("driver"), errors);
    if let Some(secret) = source.at("nodePublishSecretRef") {
        let at = at.field("nodePublishSecretRef");
        match secret.text("name") {
            "" => errors.required(&at.field("name"), ""),
            name => errors.each_invalid(&at.field("name"), name, names::dns_subdomain(name)),
        }
    }
}
