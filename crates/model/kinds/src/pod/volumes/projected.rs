//! Projected volumes: several sources in one folder.

use serde_json::Value;

use super::{downward_file, key_to_path};
use crate::check;
use crate::error::Errors;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const CONFLICT: &str = "conflicting duplicate paths";
const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub(super) fn validate(source: &Value, at: &At<'_>, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", at, errors);
    let mut paths = Seen::new();
    let sources_at = at.field("sources");
    for (index, projection) in source.list("sources").iter().enumerate() {
        let source_at = sources_at.index(index);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            if let Some(files) = projection.at(kind) {
                count += 1;
                let here = source_at.field(kind);
                check::required(files, "name", &here, errors);
                let items_at = here.field("items");
                for (index, item) in files.list("items").iter().enumerate() {
                    key_to_path(item, &items_at.index(index), errors);
                    unique(item.text("path"), files.text("name"), &mut paths, at, errors);
                }
            }
        }
        if let Some(files) = projection.at("downwardAPI") {
            count += 1;
            for file in files.list("items") {
                downward_file(file, &source_at.field("downwardAPI"), errors);
                unique(file.text("path"), file.text("path"), &mut paths, at, errors);
            }
        }
        if let Some(token) = projection.at("serviceAccountToken") {
            count += 1;
            self::token(token, &source_at.field("serviceAccountToken"), at, errors);
        }
        if let Some(bundle) = projection.at("clusterTrustBundle") {
            count += 1;
            trust_bundle(bundle, &source_at.field("clusterTrustBundlePEM"), errors);
            unique(bundle.text("path"), bundle.text("path"), &mut paths, at, errors);
        }
        if count > 1 {
            errors.forbidden(&source_at, "may not specify more than 1 volume type");
        }
    }
}

fn unique<'a>(path: &'a str, value: &str, paths: &mut Seen<&'a str>, at: &At<'_>, errors: &mut Errors) {
    if path.is_empty() {
        return;
    }
    if paths.again(path) {
        errors.invalid(at, value, CONFLICT);
    }
}

fn token(token: &Value, at: &At<'_>, volume_at: &At<'_>, errors: &mut Errors) {
    let seconds = token.int("expirationSeconds").unwrap_or(0);
    let seconds_at = at.field("expirationSeconds");
    if seconds < TOKEN_SECONDS_MIN {
        errors.invalid(&seconds_at, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > TOKEN_SECONDS_MAX {
        errors.invalid(&seconds_at, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // The reference reports these at the volume, not at the source.
    match token.text("path") {
        "" => errors.required(&volume_at.field("path"), ""),
        path => check::non_reserved_path(path, &volume_at.field("path"), errors),
    }
}

fn trust_bundle(bundle: &Value, at: &At<'_>, errors: &mut Errors) {
    match (bundle.text_if("name"), bundle.text_if("signerName")) {
        (Some(_), Some(_)) => errors.invalid(at, bundle.clone(), "only one of name and signerName may be used"),
        (Some(name), None) => {
            if name.is_empty() {
                errors.required(&at.field("name"), "must be a valid object name");
            }
            if bundle.has("labelSelector") {
                let selector = bundle.or_null("labelSelector").clone();
                errors.invalid(
                    &at.field("labelSelector"),
                    selector,
                    "labelSelector must be unset if name is specified",
                );
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.required(&at.field("signerName"), "must be a valid signer name");
            }
            if let Some(selector) = bundle.at("labelSelector") {
                crate::metadata::label_selector(selector, &at.field("labelSelector"), errors);
            }
        }
        (None, None) => errors.required(at, "either name or signerName must be specified"),
    }
    check::required(bundle, "path", at, errors);
    check::non_reserved_path(bundle.text("path"), &at.field("path"), errors);
}
