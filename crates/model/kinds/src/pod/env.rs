//! Environment variables, and the references to fields that they share with downward-API files.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::resources;

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields that exist for other uses: not here.
const OTHER_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// `env` of a container.
pub(super) fn variables(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let at = at.field("env");
    for (index, variable) in container.list("env").iter().enumerate() {
        let at = at.index(index);
        check::required_named(variable, "name", names::env_name, &at, errors);
        if let Some(source) = variable.at("valueFrom") {
            value_from(source, !variable.text("value").is_empty(), &at.field("valueFrom"), errors);
        }
    }
}

fn value_from(source: &Value, has_value: bool, at: &At<'_>, errors: &mut Errors) {
    let mut sources = 0;
    if let Some(field) = source.at("fieldRef") {
        sources += 1;
        field_reference(field, &FIELDS, &at.field("fieldRef"), errors);
    }
    if let Some(field) = source.at("resourceFieldRef") {
        sources += 1;
        resource_reference(field, false, &at.field("resourceFieldRef"), errors);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = source.at(name) {
            sources += 1;
            key_reference(reference, &at.field(name), errors);
        }
    }
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.invalid(at, "", detail);
    } else if has_value {
        errors.invalid(at, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid(at, "", "may not have more than one field specified at a time");
    }
}

/// A key of a ConfigMap or Secret.
fn key_reference(reference: &Value, at: &At<'_>, errors: &mut Errors) {
    let name = reference.text("name");
    errors.each_invalid(&at.field("name"), name, names::dns_subdomain(name));
    check::required_named(reference, "key", names::config_map_key, at, errors);
}

/// A field of the pod, one of `supported` or a label or annotation by subscript.
pub(super) fn field_reference(reference: &Value, supported: &[&str], at: &At<'_>, errors: &mut Errors) {
    let version = reference.text("apiVersion");
    let path = reference.text("fieldPath");
    if version.is_empty() {
        errors.required(&at.field("apiVersion"), "");
        return;
    }
    if path.is_empty() {
        errors.required(&at.field("fieldPath"), "");
        return;
    }
    let path_at = at.field("fieldPath");
    if version != "v1" {
        errors.invalid(&path_at, path, format!("error converting fieldPath: unsupported pod version: {version}"));
        return;
    }
    if let Some((base, key)) = path.strip_suffix(']').and_then(|path| path.split_once("['")) {
        let key = key.strip_suffix('\'').unwrap_or(key);
        match base {
            "metadata.annotations" => {
                let key = key.to_lowercase();
                errors.each_invalid(at, &key, names::qualified_name(&key));
            }
            "metadata.labels" => errors.each_invalid(at, key, names::qualified_name(key)),
            _ => {
                let detail = format!("error converting fieldPath: field label does not support subscript: {path}");
                errors.invalid(&path_at, path, detail);
            }
        }
        return;
    }
    if !supported.contains(&path) {
        let known = FIELDS.contains(&path) || OTHER_FIELDS.contains(&path);
        if known {
            errors.not_supported(&path_at, path, supported);
        } else {
            let detail = format!("error converting fieldPath: field label not supported: {path}");
            errors.invalid(&path_at, path, detail);
        }
    }
}

/// A resource of a container.
pub(super) fn resource_reference(reference: &Value, in_volume: bool, at: &At<'_>, errors: &mut Errors) {
    let resource = reference.text("resource");
    let huge_pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if in_volume && reference.text("containerName").is_empty() {
        errors.required(&at.field("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&at.field("resource"), "");
    } else if !RESOURCES.contains(&resource) && !huge_pages {
        errors.not_supported(&at.field("resource"), resource, &RESOURCES);
    }
    divisor(reference, resource, huge_pages, at, errors);
}

fn divisor(reference: &Value, resource: &str, huge_pages: bool, at: &At<'_>, errors: &mut Errors) {
    let Some(divisor) = resources::quantity_of(reference, "divisor").filter(|divisor| !divisor.is_zero()) else {
        return;
    };
    let what = match resource {
        "limits.cpu" | "requests.cpu" => "cpu",
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge_pages => "hugepages",
        _ => return,
    };
    let divisor = divisor.to_string();
    let at = at.field("divisor");
    if what == "cpu" {
        if !matches!(divisor.as_str(), "1" | "1m") {
            errors.invalid(&at, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
        }
        return;
    }
    let supported = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    if !supported.contains(&divisor.as_str()) {
        let detail = format!("only divisor's values {} are supported with the {what} resource", supported.join(", "));
        errors.invalid(&at, resource, detail);
    }
}

/// `envFrom` of a container.
pub(super) fn sources(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let list_at = at.field("envFrom");
    for (index, source) in container.list("envFrom").iter().enumerate() {
        let at = list_at.index(index);
        check::named(source, "prefix", names::env_name, &at, errors);
        let mut sources = 0;
        for name in ["configMapRef", "secretRef"] {
            if let Some(reference) = source.at(name) {
                sources += 1;
                let at = at.field(name);
                check::required_named(reference, "name", names::dns_subdomain, &at, errors);
            }
        }
        if sources == 0 {
            errors.invalid(&list_at, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if sources > 1 {
            errors.invalid(&list_at, "", "may not have more than one field specified at a time");
        }
    }
}
