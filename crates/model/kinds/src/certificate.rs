//! CertificateSigningRequests.

mod pem;

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minato_pki::RequestError;
use serde_json::{Value, json};

use crate::check;
use crate::declaration::Subresource;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;
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
        request(object, None, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update(new, old, Path::Object)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update(new, old, Path::Status)
    }

    fn validate_subresource_update(&self, subresource: Subresource, new: &Value, old: &Value) -> Vec<FieldError> {
        update(new, old, if subresource == Subresource::Approval { Path::Approval } else { Path::Object })
    }
}

/// By which URL a request is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Object,
    Status,
    Approval,
}

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

/// Checks a request, new or changed from `old`.
fn request(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let spec = object.or_null("spec");
    let at = At::Root.field("spec");
    let request = STANDARD.decode(spec.text("request")).unwrap_or_default();
    // Requests cannot change, so that they are looked into only once.
    let complaint = match old {
        None if pem::first_block(&request) == Some("CERTIFICATE REQUEST") => minato_pki::check_request(&request).err(),
        None => Some(RequestError::Pem),
        Some(_) => None,
    };
    if let Some(complaint) = complaint {
        errors.invalid(&at.field("request"), spec.or_null("request").clone(), complaint.to_string());
    }
    let usages_at = at.field("usages");
    let usages = spec.list("usages");
    if usages.is_empty() {
        errors.required(&usages_at, "");
    }
    for (index, usage) in usages.iter().enumerate() {
        if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
            errors.not_supported(&usages_at.index(index), usage.clone(), &USAGES);
        }
    }
    let mut seen = Seen::new();
    for (index, usage) in usages.iter().enumerate() {
        if seen.again(usage) {
            errors.duplicate(&usages_at.index(index), usage.clone());
        }
    }
    let signer = spec.text("signerName");
    let tolerated = old.is_some_and(|old| old.or_null("spec").text("signerName") == LEGACY_SIGNER);
    if signer == LEGACY_SIGNER && !tolerated {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.invalid(&at.field("signerName"), signer, detail);
    } else {
        signer_name(signer, &at.field("signerName"), errors);
    }
    if let Some(seconds) = spec.int("expirationSeconds").filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&at.field("expirationSeconds"), seconds, detail);
    }
    conditions(object, errors);
    let certificate = object.or_null("status").text("certificate");
    let before = old.map_or("", |old| old.or_null("status").text("certificate"));
    if certificate != before
        && let Err(error) = pem::certificates(&STANDARD.decode(certificate).unwrap_or_default())
    {
        let at = At::Root.field("status");
        errors.invalid(&at.field("certificate"), "<certificate data>", error.to_string());
    }
}

fn update(new: &Value, old: &Value, path: Path) -> Vec<FieldError> {
    let mut errors = Errors::new();
    request(new, Some(old), &mut errors);
    let at = At::Root.field("status");
    let conditions_at = at.field("conditions");
    let (status, before) = (new.or_null("status"), old.or_null("status"));
    let of_type = |status: &Value, kind: &str| -> Vec<Value> {
        let conditions = status.list("conditions").iter();
        conditions.filter(|condition| condition.text("type") == kind).cloned().collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        let (new, old) = (of_type(status, kind), of_type(before, kind));
        let what = match new.len().cmp(&old.len()) {
            Ordering::Less => "remove",
            Ordering::Greater if path != Path::Approval && is_decision(kind) => "add",
            Ordering::Equal if path != Path::Approval && is_decision(kind) && new != old => "modify",
            _ => continue,
        };
        errors.forbidden(&conditions_at, format!("updates may not {what} a condition of type {kind:?}"));
    }
    if !same(status.at("certificate"), before.at("certificate")) {
        let at = at.field("certificate");
        if path != Path::Status {
            errors.forbidden(&at, "updates may not set certificate content");
        } else if !before.text("certificate").is_empty() {
            errors.forbidden(&at, "updates may not modify existing certificate content");
        }
    }
    errors.into_vec()
}

fn is_decision(condition: &str) -> bool {
    matches!(condition, "Approved" | "Denied")
}

/// `example.com/signer`, the domain with at least two parts.
fn signer_name(name: &str, at: &At<'_>, errors: &mut Errors) {
    const DOMAIN_BYTES_MAX: usize = 253;
    const NAME_BYTES_MAX: usize = DOMAIN_BYTES_MAX + 1 + 253 + 63 + 1;
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        errors.invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    if domain.len() > DOMAIN_BYTES_MAX {
        errors.too_long(at, DOMAIN_BYTES_MAX);
    }
    // Only the first part that is wrong is told: more would say the same again.
    let mut first_wrong = |whole: &str, check: fn(&str) -> names::Complaints| {
        let wrong = whole.split('.').map(|part| (part, check(part))).find(|(_, complaints)| !complaints.is_empty());
        for (part, message) in
            wrong.into_iter().flat_map(|(part, complaints)| complaints.into_iter().map(move |message| (part, message)))
        {
            errors.invalid(at, whole, format!("validating label {part:?}: {message}"));
        }
    };
    first_wrong(domain, names::dns_label);
    first_wrong(path, names::dns_subdomain);
    if !domain.contains('.') {
        errors.invalid(at, domain, "should be a domain with at least two segments separated by dots");
    }
    if name.len() > NAME_BYTES_MAX {
        errors.too_long(at, NAME_BYTES_MAX);
    }
}

fn conditions(object: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let at = at.field("conditions");
    let conditions = object.or_null("status").list("conditions");
    let mut before = Seen::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let kind = condition.text("type");
        if kind.is_empty() {
            errors.required(&at.field("type"), "");
        }
        let statuses: &[&str] =
            if is_decision(kind) || kind == "Failed" { &["True"] } else { &["False", "True", "Unknown"] };
        check::one_of(condition, "status", statuses, &at, errors);
        if kind == "Approved" && before.has("Denied") || kind == "Denied" && before.has("Approved") {
            errors.invalid(&at.field("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if before.again(kind) {
            errors.duplicate(&at.field("type"), kind);
        }
    }
}
