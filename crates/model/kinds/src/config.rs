//! ConfigMaps and Secrets: keys with values, which can be sealed against change.

mod secret;

pub(crate) use secret::Secret;

use serde_json::Value;

use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::same::same;
use crate::strategy::Strategy;

/// Bytes of all values together.
const DATA_BYTES_MAX: usize = 1024 * 1024;
const SEALED: &str = "field is immutable when `immutable` is set";

pub(crate) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let binary = object.or_null("binaryData");
        let mut bytes = 0;
        let at = At::Root.field("data");
        for (key, value) in object.strings("data") {
            let at = at.key(key);
            errors.each_invalid(&at, key, names::config_map_key(key));
            if binary.has(key) {
                errors.invalid(&at, key, "duplicate of key present in binaryData");
            }
            bytes += value.len();
        }
        let at = At::Root.field("binaryData");
        for (key, value) in object.strings("binaryData") {
            errors.each_invalid(&at.key(key), key, names::config_map_key(key));
            bytes += decoded_bytes(value);
        }
        if bytes > DATA_BYTES_MAX {
            errors.too_long(&At::Root.key(""), DATA_BYTES_MAX);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        sealed(new, old, &["data", "binaryData"], &mut errors);
        let mut errors = errors.into_vec();
        errors.extend(self.validate(new));
        errors
    }

    fn allow_create_on_update(&self) -> bool {
        false
    }
}

/// What `immutable: true` forbids.
fn sealed(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if !old.is("immutable") {
        return;
    }
    if !new.is("immutable") {
        errors.forbidden(&At::Root.field("immutable"), SEALED);
    }
    for field in fields {
        if !same(new.at(field), old.at(field)) {
            errors.forbidden(&At::Root.field(field), SEALED);
        }
    }
}

/// How many bytes a base64 text stands for.
fn decoded_bytes(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}
