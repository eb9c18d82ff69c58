//! PersistentVolumes.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::pod::scheduling::node_selector;
use crate::pod::volumes::remote;
use crate::read::{Fill, Read};
use crate::resources;
use crate::same::{difference, same_value};
use crate::strategy::Strategy;
use crate::volume_claim;
use crate::warnings::{Warnings, node_expressions, old_storage_class};

pub(crate) struct PersistentVolume;

/// Where the volume's bytes are: exactly one of these.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill_text("persistentVolumeReclaimPolicy", "Retain");
        spec.fill("volumeMode", "Filesystem");
        resources::canonicalise_list(spec, "capacity");
        if let Some(path) = spec.inside("hostPath") {
            path.fill("type", "");
        }
        for name in SOURCES {
            if let Some(source) = spec.inside(name) {
                remote::default(name, source);
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value, now: Timestamp) {
        object.set("status", json!({"phase": "Pending", "lastPhaseTransitionTime": time(now)}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let name = object.or_null("metadata").text("name");
        spec(object.or_null("spec"), name, false, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        const OLD: [(&str, &str, &str); 6] = [
            ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
            ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
            ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
            ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
            ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
            ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ];
        let mut warnings = Warnings::default();
        old_storage_class(new, &mut warnings);
        let spec = new.or_null("spec");
        let at = At::Root.field("spec");
        if spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
            let text = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
            warnings.push(&at.field("persistentVolumeReclaimPolicy"), text);
        }
        let affinity_at = at.field("nodeAffinity");
        let terms_at = affinity_at.field("required");
        let terms_at = terms_at.field("nodeSelectorTerms");
        let required = spec.or_null("nodeAffinity").or_null("required");
        for (index, term) in required.list("nodeSelectorTerms").iter().enumerate() {
            node_expressions(term, "matchExpressions", &terms_at.index(index), &mut warnings);
        }
        for (name, shown, text) in OLD {
            if spec.has(name) {
                warnings.push(&at.field(shown), text);
            }
        }
        warnings.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
        let at = At::Root.field("spec");
        spec(new_spec, new.or_null("metadata").text("name"), false, &at, &mut errors);
        let only_source = |spec: &Value| {
            let mut sources = json!({});
            SOURCES.iter().for_each(|name| sources.copy(name, spec));
            sources
        };
        let (mut new_source, old_source) = (only_source(new_spec), only_source(old_spec));
        // A secret for expansion may be named later.
        if old_source.has("csi")
            && !old_source.or_null("csi").has("controllerExpandSecretRef")
            && let Some(csi) = new_source.inside("csi")
        {
            csi.remove("controllerExpandSecretRef");
        }
        if !same_value(&new_source, &old_source) {
            let changes = difference(&old_source, &new_source, "spec");
            let detail = format!("spec.persistentvolumesource is immutable after creation\n{changes}");
            errors.forbidden(&at.field("persistentvolumesource"), detail);
        }
        check::immutable(new_spec, old_spec, "volumeMode", &At::Root, &mut errors);
        if let Some(affinity) = old_spec.at("nodeAffinity") {
            node_affinity(new_spec.or_null("nodeAffinity"), affinity, &mut errors);
        }
        if old_spec.has("volumeAttributesClassName") && !new_spec.has("volumeAttributesClassName") {
            let detail = "update from non-nil value to nil is forbidden";
            errors.forbidden(&at.field("volumeAttributesClassName"), detail);
        }
        errors.into_vec()
    }

    /// When the phase changes, so does the time of its last change.
    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        let same_phase = new.or_null("status").text("phase") == old.or_null("status").text("phase");
        if let Some(status) = new.make("status")
            && same_phase
            && !status.has("lastPhaseTransitionTime")
        {
            status.copy("lastPhaseTransitionTime", old.or_null("status"));
        }
    }
}

/// A time as the API writes it, to the second.
pub(super) fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The spec of a volume that exists in an attachment alone.
pub(super) fn inline(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    self::spec(spec, "", true, at, errors);
}

/// Labels of nodes may be given their newer names; nothing else of the affinity changes.
fn node_affinity(new: &Value, old: &Value, errors: &mut Errors) {
    const RENAMED: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    let mut renamed = old.clone();
    let mut wanted = new.clone();
    for affinity in [&mut renamed, &mut wanted] {
        let Some(required) = affinity.inside("required") else { continue };
        for term in required.each("nodeSelectorTerms") {
            for expression in term.each("matchExpressions") {
                let newer = RENAMED.iter().find(|(old, _)| *old == expression.text("key"));
                if let Some((_, newer)) = newer {
                    expression.set("key", *newer);
                }
            }
        }
    }
    if !same_value(&wanted, &renamed) {
        errors.invalid(&At::Root.field("nodeAffinity"), new.clone(), check::IMMUTABLE);
    }
}

fn spec(spec: &Value, name: &str, inline: bool, at: &At<'_>, errors: &mut Errors) {
    if inline {
        for (field, set) in [
            ("capacity", !spec.map("capacity").is_none_or(serde_json::Map::is_empty)),
            ("claimRef", spec.has("claimRef")),
            ("persistentVolumeReclaimPolicy", !spec.text("persistentVolumeReclaimPolicy").is_empty()),
            ("storageClassName", !spec.text("storageClassName").is_empty()),
        ] {
            if set {
                errors.forbidden(&at.field(field), "may not be specified in the context of inline volumes");
            }
        }
        if spec.text_if("volumeMode").is_some_and(|mode| mode != "Filesystem") {
            let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
            errors.forbidden(&at.field("volumeMode"), detail);
        }
        if !spec.has("csi") {
            errors.required(&at.field("csi"), "has to be specified in the context of inline volumes");
        }
    }
    volume_claim::access_modes(spec, "", at, errors);
    if !inline {
        offer(spec, at, errors);
    }
    if let Some(affinity) = spec.at("nodeAffinity") {
        let at = at.field("nodeAffinity");
        match affinity.at("required") {
            Some(selector) => node_selector(selector, &at.field("required"), errors),
            None => errors.required(&at.field("required"), "must specify required node constraints"),
        }
    }
    source(spec, name, at, errors);
    if clean(spec.or_null("hostPath").text("path")) && spec.text("persistentVolumeReclaimPolicy") == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.forbidden(&at.field("persistentVolumeReclaimPolicy"), detail);
    }
    if let Some(class) = spec.text_if("volumeAttributesClassName") {
        let class_at = at.field("volumeAttributesClassName");
        match class {
            "" => errors.required(&class_at, "an empty string is disallowed"),
            class => errors.each_invalid(&class_at, class, names::dns_subdomain(class)),
        }
        if !spec.has("csi") {
            errors.required(&at.field("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

/// Whether the path is the root, however it is written.
fn clean(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "." | ".."))
}

/// What a volume offers to claims.
fn offer(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let capacity_at = at.field("capacity");
    let capacity = spec.map("capacity");
    match capacity {
        None => errors.required(&capacity_at, ""),
        Some(capacity) => {
            if !capacity.contains_key("storage") || capacity.len() > 1 {
                errors.not_supported(&capacity_at, spec.or_null("capacity").clone(), &["storage"]);
            }
            for (name, value) in capacity {
                let at = capacity_at.key(name);
                match resources::quantity(value) {
                    Some(amount) if amount.signum() > 0 => {}
                    Some(amount) => errors.invalid(&at, amount.to_string(), "must be greater than zero"),
                    None => errors.invalid(&at, value.clone(), "must be a quantity"),
                }
            }
        }
    }
    check::one_of_if(spec, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"], at, errors);
    check::named(spec, "storageClassName", names::dns_subdomain, at, errors);
    check::one_of_if(spec, "volumeMode", &["Block", "Filesystem"], at, errors);
}

fn source(spec: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = spec.at(kind) else { continue };
        if found {
            errors.forbidden(&at.field(kind), "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        let here = at.field(kind);
        match kind {
            "hostPath" => {
                check::required(source, "path", &here, errors);
                check::no_backsteps(source.text("path"), &here.field("path"), errors);
            }
            "local" => {
                check::required(source, "path", &here, errors);
                check::no_backsteps(source.text("path"), &here.field("path"), errors);
                if !spec.has("nodeAffinity") {
                    errors.required(&at.field("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "csi" => {
                remote::csi_driver(source.text("driver"), &here.field("driver"), errors);
                check::required(source, "volumeHandle", &here, errors);
            }
            kind => remote::validate(kind, source, name, at, errors),
        }
    }
    if !found {
        errors.required(at, "must specify a volume type");
    }
}
