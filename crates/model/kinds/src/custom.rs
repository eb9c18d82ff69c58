//! CustomResourceDefinitions and APIServices: kinds that others bring.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::seen::Seen;
use crate::strategy::Strategy;

pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn restricts_finalizers(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        if let Some(names) = spec.make("names") {
            let kind = names.text("kind").to_owned();
            if !kind.is_empty() {
                names.fill_text("singular", &kind.to_lowercase());
                names.fill_text("listKind", &format!("{kind}List"));
            }
        }
        if let Some(conversion) = spec.make("conversion") {
            conversion.fill_text("strategy", "None");
            if let Some(service) = conversion
                .inside("webhook")
                .and_then(|webhook| webhook.inside("clientConfig"))
                .and_then(|config| config.inside("service"))
            {
                service.fill("port", 443);
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        let stored: Vec<Value> = storage_versions(object).map(Value::from).collect();
        let names = json!({"plural": "", "kind": ""});
        object.set("status", json!({"conditions": [], "acceptedNames": names, "storedVersions": stored}));
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value) {
        let current: Vec<String> = storage_versions(new).map(str::to_owned).collect();
        if let Some(status) = new.make("status") {
            let mut stored = status.list("storedVersions").to_vec();
            for version in current {
                if !stored.iter().any(|known| known.as_str() == Some(&version)) {
                    stored.push(version.into());
                }
            }
            status.set("storedVersions", stored);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let name = object.or_null("metadata").text("name");
        let expected = format!("{}.{}", spec.or_null("names").text("plural"), spec.text("group"));
        if name != expected {
            let at = At::Root.field("metadata");
            errors.invalid(&at.field("name"), name, "must be spec.names.plural+\".\"+spec.group");
        }
        definition(spec, &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (new_spec, old_spec) = (new.or_null("spec"), old.or_null("spec"));
        let at = At::Root.field("spec");
        definition(new_spec, &at, &mut errors);
        let established = old
            .or_null("status")
            .list("conditions")
            .iter()
            .any(|condition| condition.text("type") == "Established" && condition.text("status") == "True");
        let names_at = at.field("names");
        let mut fixed = vec!["group"];
        if established {
            fixed.push("scope");
            let (new_names, old_names) = (new_spec.or_null("names"), old_spec.or_null("names"));
            check::immutable(new_names, old_names, "kind", &names_at, &mut errors);
        }
        for field in fixed {
            check::immutable(new_spec, old_spec, field, &at, &mut errors);
        }
        check::immutable(new_spec.or_null("names"), old_spec.or_null("names"), "plural", &names_at, &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn storage_versions(object: &Value) -> impl Iterator<Item = &str> {
    object
        .or_null("spec")
        .list("versions")
        .iter()
        .filter(|version| version.is("storage"))
        .map(|version| version.text("name"))
}

fn definition(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let group = spec.text("group");
    let group_at = at.field("group");
    if group.is_empty() {
        errors.required(&group_at, "");
    } else {
        errors.each_invalid(&group_at, group, names::dns_subdomain(group));
        if !group.contains('.') {
            errors.invalid(&group_at, group, "should be a domain with at least one dot");
        }
    }
    match spec.text("scope") {
        "" => errors.required(&at.field("scope"), ""),
        "Cluster" | "Namespaced" => {}
        scope => errors.not_supported(&at.field("scope"), scope, &["Cluster", "Namespaced"]),
    }
    versions(spec, &at.field("versions"), errors);
    kind_names(spec.or_null("names"), &at.field("names"), errors);
    conversion(spec, &at.field("conversion"), errors);
}

fn versions(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let versions = spec.list("versions");
    if versions.is_empty() {
        errors.required(at, "must have at least one version");
    }
    let mut stored = 0;
    let mut unique = true;
    let mut seen = Seen::new();
    for (index, version) in versions.iter().enumerate() {
        let at = at.index(index);
        let name = version.text("name");
        errors.each_invalid(&at.field("name"), name, names::dns_1035_label(name));
        unique &= !seen.again(name);
        stored += usize::from(version.is("storage"));
        let schema_at = at.field("schema");
        if !version.or_null("schema").has("openAPIV3Schema") && !spec.is("preserveUnknownFields") {
            errors.required(&schema_at.field("openAPIV3Schema"), "schemas are required");
        }
        scale(version, &at.field("subresources"), errors);
    }
    if !versions.is_empty() && stored != 1 {
        errors.invalid(at, versions.to_vec(), "must have exactly one version marked as storage version");
    }
    if !unique {
        errors.invalid(at, versions.to_vec(), "must contain unique version names");
    }
}

fn scale(version: &Value, at: &At<'_>, errors: &mut Errors) {
    let Some(scale) = version.or_null("subresources").at("scale") else { return };
    let at = at.field("scale");
    for (field, prefix, needed) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", ".s", false),
    ] {
        let at = at.field(field);
        match scale.text(field) {
            "" if needed => errors.required(&at, ""),
            "" => {}
            path if path.contains('[') => errors.invalid(&at, path, "must be a simple json path with . notation"),
            path if !path.starts_with(prefix) => {
                let detail = match field {
                    "labelSelectorPath" => "should be a json path under either .spec or .status".to_owned(),
                    _ => format!("should be a json path under {}", prefix.trim_end_matches('.')),
                };
                errors.invalid(&at, path, detail);
            }
            _ => {}
        }
    }
}

fn kind_names(kind: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in ["plural", "singular"] {
        let name = kind.text(field);
        let at = at.field(field);
        if name.is_empty() {
            if field == "plural" {
                errors.required(&at, "");
            }
        } else {
            errors.each_invalid(&at, name, names::dns_1035_label(name));
        }
    }
    for field in ["kind", "listKind"] {
        let name = kind.text(field);
        let at = at.field(field);
        if name.is_empty() {
            errors.required(&at, "");
        } else {
            for message in names::dns_1035_label(&name.to_lowercase()) {
                errors.invalid(&at, name, format!("may have mixed case, but should otherwise match: {message}"));
            }
        }
    }
    if !kind.text("kind").is_empty() && kind.text("kind") == kind.text("listKind") {
        errors.invalid(&at.field("listKind"), kind.text("listKind"), "kind and listKind may not be the same");
    }
    for field in ["shortNames", "categories"] {
        let at = at.field(field);
        for (index, name) in kind.texts(field).enumerate() {
            errors.each_invalid(&at.index(index), name, names::dns_1035_label(name));
        }
    }
}

fn conversion(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let conversion = spec.or_null("conversion");
    match conversion.text("strategy") {
        "None" => {
            if conversion.has("webhook") {
                errors.forbidden(&at.field("webhook"), "should not be set when strategy is not set to Webhook");
            }
        }
        "Webhook" => {
            let webhook = conversion.or_null("webhook");
            let at = at.field("webhook");
            if !webhook.has("clientConfig") {
                let detail = "required when strategy is set to Webhook";
                errors.required(&at.field("clientConfig"), detail);
            }
            if webhook.list("conversionReviewVersions").is_empty() {
                errors.required(&at.field("conversionReviewVersions"), "");
            }
        }
        "" => errors.required(&at.field("strategy"), ""),
        strategy => errors.not_supported(&at.field("strategy"), strategy, &["None", "Webhook"]),
    }
}

pub(crate) struct ApiService;

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

impl Strategy for ApiService {
    fn restricts_finalizers(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        if let Some(service) = object.inside("spec").and_then(|spec| spec.inside("service")) {
            service.fill("port", 443);
        }
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let name = object.or_null("metadata").text("name");
        let expected = format!("{}.{}", spec.text("version"), spec.text("group"));
        if name != expected {
            let metadata_at = At::Root.field("metadata");
            errors.invalid(
                &metadata_at.field("name"),
                name,
                format!("must be `spec.version+\".\"+spec.group`: {expected:?}"),
            );
        }
        let (group, version) = (spec.text("group"), spec.text("version"));
        if group.is_empty() && version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.required(&at.field("group"), detail);
        }
        check::named(spec, "group", names::dns_subdomain, &at, &mut errors);
        errors.each_invalid(&at.field("version"), version, names::dns_1035_label(version));
        for (field, max) in [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
            let priority = spec.int(field).unwrap_or(0);
            if !(1..=max).contains(&priority) {
                let detail = format!("must be positive and less than {max}");
                errors.invalid(&at.field(field), priority, detail);
            }
        }
        let trust_at = at.field("caBundle");
        let skips_at = at.field("insecureSkipTLSVerify");
        let trust = STANDARD.decode(spec.text("caBundle")).map_or(0, |bundle| bundle.len());
        match spec.at("service") {
            None => {
                if trust > 0 {
                    let detail = "local APIServices may not have a caBundle";
                    errors.invalid(&trust_at, format!("{trust} bytes"), detail);
                }
                if spec.is("insecureSkipTLSVerify") {
                    errors.invalid(&skips_at, true, "local APIServices may not have insecureSkipTLSVerify");
                }
            }
            Some(service) => {
                let service_at = at.field("service");
                check::required(service, "namespace", &service_at, &mut errors);
                check::required(service, "name", &service_at, &mut errors);
                check::port_number(service, "port", &service_at, &mut errors);
                if spec.is("insecureSkipTLSVerify") && trust > 0 {
                    errors.invalid(&skips_at, true, "may not be true if caBundle is present");
                }
            }
        }
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        let at = at.field("conditions");
        for (index, condition) in new.or_null("status").list("conditions").iter().enumerate() {
            let status = condition.text("status");
            if !matches!(status, "True" | "False" | "Unknown") {
                errors.not_supported(&at.index(index).field("status"), status, &["True", "False", "Unknown"]);
            }
        }
        errors.into_vec()
    }
}
