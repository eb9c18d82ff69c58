//! CertificateSigningRequests.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::declaration::Subresource;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

pub(crate) struct CertificateSigningRequest;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
const EXPIRATION_SECONDS_MIN: i64 = 600;

impl Strategy for CertificateSigningRequest {
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({}));
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        new.copy("spec", old);
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        // Approval has a URL of its own.
        let decided = |object: &Value| -> Vec<Value> {
            let conditions = object.or_null("status").list("conditions");
            conditions.iter().filter(|condition| is_decision(condition.text("type"))).cloned().collect()
        };
        let mut conditions: Vec<Value> = new.or_null("status").list("conditions").to_vec();
        conditions.retain(|condition| !is_decision(condition.text("type")));
        let mut all = decided(old);
        all.extend(conditions);
        if let Some(status) = new.make("status") {
            if all.is_empty() {
                status.remove("conditions");
            } else {
                status.set("conditions", all);
            }
        }
    }

    fn prepare_for_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        if subresource == Subresource::Approval {
            let conditions = new.or_null("status").or_null("conditions").clone();
            new.copy("spec", old);
            new.copy("status", old);
            if let (Some(status), false) = (new.make("status"), conditions.is_null()) {
                status.set("conditions", conditions);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        if spec.text("request").is_empty() {
            errors.invalid(&at.field("request"), "", "PEM block type must be CERTIFICATE REQUEST");
        }
        let usages_at = at.field("usages");
        let usages = spec.list("usages");
        if usages.is_empty() {
            errors.required(&usages_at, "usages must be provided");
        }
        for (index, usage) in usages.iter().enumerate() {
            let at = usages_at.index(index);
            if usages[..index].contains(usage) {
                errors.duplicate(&at, usage.clone());
            }
            if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
                errors.not_supported(&at, usage.clone(), &USAGES);
            }
        }
        signer_name(spec.text("signerName"), &at.field("signerName"), &mut errors);
        if let Some(seconds) = spec.int("expirationSeconds").filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
            let detail = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.invalid(&at.field("expirationSeconds"), seconds, detail);
        }
        conditions(object, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        conditions(new, &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        conditions(new, &mut errors);
        let (new_status, old_status) = (new.or_null("status"), old.or_null("status"));
        if old_status.has("certificate") && !same(new_status.at("certificate"), old_status.at("certificate")) {
            let at = At::Root.field("status");
            errors.forbidden(&at.field("certificate"), "updates may not modify existing certificate content");
        }
        errors.into_vec()
    }
}

fn is_decision(condition: &str) -> bool {
    matches!(condition, "Approved" | "Denied")
}

/// `example.com/signer`, the domain with at least two parts.
fn signer_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        errors.invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    for message in names::dns_subdomain(domain) {
        errors.invalid(at, domain, format!("validating label \"{domain}\": {message}"));
    }
    if !domain.contains('.') {
        errors.invalid(at, domain, "should be a domain with at least two segments separated by dots");
    }
    for message in path.split('.').flat_map(names::dns_label) {
        errors.invalid(at, path, format!("validating label \"{path}\": {message}"));
    }
}

fn conditions(object: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let at = at.field("conditions");
    let conditions = object.or_null("status").list("conditions");
    let has = |kind: &str| conditions.iter().any(|condition| condition.text("type") == kind);
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let kind = condition.text("type");
        if kind.is_empty() {
            errors.required(&at.field("type"), "");
        }
        match condition.text("status") {
            "" => errors.required(&at.field("status"), ""),
            "True" | "False" | "Unknown" => {}
            status => errors.not_supported(&at.field("status"), status, &["False", "True", "Unknown"]),
        }
        if matches!(kind, "Approved" | "Denied" | "Failed") && condition.text("status") != "True" {
            errors.not_supported(&at.field("status"), condition.text("status"), &["True"]);
        }
        if is_decision(kind) && has("Approved") && has("Denied") {
            errors.invalid(&at.field("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if conditions[..index].iter().any(|other| other.text("type") == kind) {
            errors.duplicate(&at.field("type"), kind);
        }
    }
}
