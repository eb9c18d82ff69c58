//! Which requests a flow schema is about.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const KINDS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

/// Checks `{subjects, resourceRules, nonResourceRules}`.
pub(super) fn validate(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let subjects_at = at.field("subjects");
    if rule.list("subjects").is_empty() {
        errors.required(&subjects_at, "subjects must contain at least one value");
    }
    for (index, subject) in rule.list("subjects").iter().enumerate() {
        self::subject(subject, &subjects_at.index(index), errors);
    }
    let (resources, urls) = (rule.list("resourceRules"), rule.list("nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        errors.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let resources_at = at.field("resourceRules");
    for (index, rule) in resources.iter().enumerate() {
        resource(rule, &resources_at.index(index), errors);
    }
    let urls_at = at.field("nonResourceRules");
    for (index, rule) in urls.iter().enumerate() {
        non_resource(rule, &urls_at.index(index), errors);
    }
}

fn subject(subject: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = subject.text("kind");
    let Some((_, field)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        errors.not_supported(&at.field("kind"), kind, &KINDS.map(|(known, _)| known));
        return;
    };
    let here = at.field(field);
    match subject.at(field) {
        None => errors.required(&here, &format!("{field} is required when subject kind is '{kind}'")),
        Some(named) => {
            let name = named.text("name");
            check::required(named, "name", &here, errors);
            if kind == "ServiceAccount" {
                if !matches!(name, "" | "*") {
                    errors.each_invalid(&here.field("name"), name, names::dns_subdomain(name));
                }
                match named.text("namespace") {
                    "" => errors.required(&here.field("namespace"), "must specify namespace for service account"),
                    namespace => {
                        errors.each_invalid(&here.field("namespace"), namespace, names::dns_label(namespace));
                    }
                }
            }
        }
    }
    for (other, field) in KINDS.iter().filter(|(other, field)| *other != kind && subject.has(field)) {
        errors.forbidden(&at.field(field), format!("{field} is forbidden when subject kind is not '{other}'"));
    }
}

/// Checks a list that is not empty, in which `*` stands alone. Answers whether each element is to be looked at.
fn exclusive(rule: &Value, field: &str, missing: &str, others: &str, at: &At<'_>, errors: &mut Errors) -> bool {
    let list = rule.list(field);
    let wildcard = rule.texts(field).any(|text| text == "*");
    if list.is_empty() {
        errors.required(&at.field(field), missing);
    } else if wildcard && list.len() > 1 {
        let detail = format!("if '*' is present, must not specify other {others}");
        errors.invalid(&at.field(field), list.to_vec(), detail);
    }
    !list.is_empty() && !wildcard
}

fn verbs(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let each = exclusive(rule, "verbs", "verbs must contain at least one value", "verbs", at, errors);
    if each && !rule.texts("verbs").all(|verb| VERBS.contains(&verb)) {
        errors.not_supported(&at.field("verbs"), rule.list("verbs").to_vec(), &VERBS);
    }
}

fn resource(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    const NAMESPACE: &str = "each member of this list must be '*' or a DNS-1123 label; ";
    verbs(rule, at, errors);
    let missing = "resource rules must supply at least one api group";
    exclusive(rule, "apiGroups", missing, "api groups", at, errors);
    let missing = "resource rules must supply at least one resource";
    exclusive(rule, "resources", missing, "resources", at, errors);
    if rule.is("clusterScope") && rule.list("namespaces").is_empty() {
        return;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if exclusive(rule, "namespaces", missing, "namespaces", at, errors) {
        let at = at.field("namespaces");
        for (index, namespace) in rule.texts("namespaces").enumerate() {
            for message in names::dns_label(namespace) {
                errors.invalid(&at.index(index), namespace, format!("{NAMESPACE}{message}"));
            }
        }
    }
}

fn non_resource(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    verbs(rule, at, errors);
    let missing = "nonResourceURLs must contain at least one value";
    if exclusive(rule, "nonResourceURLs", missing, "non-resource URLs", at, errors) {
        let at = at.field("nonResourceURLs");
        for (index, url) in rule.texts("nonResourceURLs").enumerate() {
            if let Some(complaint) = url_complaint(url) {
                errors.invalid(&at.index(index), url, complaint);
            }
        }
    }
}

fn url_complaint(url: &str) -> Option<&'static str> {
    match url.matches('*').count() {
        _ if url.is_empty() => Some("must not be empty"),
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        0 => None,
        1 if url.ends_with("/*") => None,
        _ => Some("wildcard can only do suffix matching"),
    }
}
