//! Where containers mount volumes, as folders or as raw devices.

use serde_json::Value;

use super::super::volumes::Volumes;
use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];

pub(super) fn mounts(container: &Value, volumes: &Volumes<'_>, at: &At<'_>, errors: &mut Errors) {
    let mounts = container.list("volumeMounts");
    let devices = container.list("volumeDevices");
    let list_at = at.field("volumeMounts");
    let names = Seen::of(devices.iter().map(|device| device.text("name")));
    let paths = Seen::of(devices.iter().map(|device| device.text("devicePath")));
    let mut seen = Seen::new();
    for (index, mount) in mounts.iter().enumerate() {
        let at = list_at.index(index);
        let (name, path) = (mount.text("name"), mount.text("mountPath"));
        check::required(mount, "name", &at, errors);
        if volumes.get(name).is_none() {
            errors.not_found(&at.field("name"), name);
        }
        check::required(mount, "mountPath", &at, errors);
        if seen.again(path) {
            errors.invalid(&at.field("mountPath"), path, "must be unique");
        }
        if names.has(name) {
            errors.invalid(&at.field("name"), name, "must not already exist in volumeDevices");
        }
        if paths.has(path) {
            errors.invalid(&at.field("mountPath"), path, "must not already exist as a path in volumeDevices");
        }
        let (sub_path, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
        if !sub_path.is_empty() {
            check::descending_path(sub_path, &list_at.field("subPath"), errors);
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                errors.invalid(&at.field("subPathExpr"), expression, detail);
            }
            check::descending_path(expression, &list_at.field("subPathExpr"), errors);
        }
        if let Some(propagation) = mount.text_if("mountPropagation") {
            let at = list_at.field("mountPropagation");
            if !PROPAGATIONS.contains(&propagation) {
                errors.not_supported(&at, propagation, &PROPAGATIONS);
            }
            if propagation == "Bidirectional" && !container.or_null("securityContext").is("privileged") {
                let detail = "Bidirectional mount propagation is available only to privileged containers";
                errors.forbidden(&at, detail);
            }
        }
        recursive_read_only(mount, &list_at.field("recursiveReadOnly"), errors);
    }
}

fn recursive_read_only(mount: &Value, at: &At<'_>, errors: &mut Errors) {
    match mount.text_if("recursiveReadOnly") {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.is("readOnly") {
                errors.forbidden(at, "may only be specified when readOnly is true");
            }
            if mount.text_if("mountPropagation").is_some_and(|propagation| propagation != "None") {
                errors.forbidden(at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(value) => errors.not_supported(at, value, &["Disabled", "Enabled", "IfPossible"]),
    }
}

pub(super) fn devices(container: &Value, volumes: &Volumes<'_>, at: &At<'_>, errors: &mut Errors) {
    let devices = container.list("volumeDevices");
    let mounts = container.list("volumeMounts");
    if devices.is_empty() {
        return;
    }
    let list_at = at.field("volumeDevices");
    let mount_names = Seen::of(mounts.iter().map(|mount| mount.text("name")));
    let mount_paths = Seen::of(mounts.iter().map(|mount| mount.text("mountPath")));
    let mut seen = Seen::new();
    let mut seen_paths = Seen::new();
    for (index, device) in devices.iter().enumerate() {
        let at = list_at.index(index);
        let (name, path) = (device.text("name"), device.text("devicePath"));
        check::required(device, "name", &at, errors);
        if !name.is_empty() && seen.again(name) {
            errors.invalid(&at.field("name"), name, "must be unique");
        }
        match volumes.get(name) {
            None => errors.not_found(&at.field("name"), name),
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&at.field("name"), name, detail);
            }
            Some(_) => {}
        }
        check::required(device, "devicePath", &at, errors);
        if seen_paths.again(path) {
            errors.invalid(&at.field("devicePath"), path, "must be unique");
        }
        if path.split('/').any(|part| part == "..") {
            errors.invalid(&at.field("devicePath"), path, "can not contain backsteps ('..')");
        }
        if mount_names.has(name) {
            errors.invalid(&at.field("name"), name, "must not already exist in volumeMounts");
        }
        if mount_paths.has(path) {
            errors.invalid(&at.field("devicePath"), path, "must not already exist as a path in volumeMounts");
        }
    }
}
