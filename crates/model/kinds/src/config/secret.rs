//! Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{DATA_BYTES_MAX, decoded_bytes, sealed};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

pub(crate) struct Secret;

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        object.fill_text("type", "Opaque");
        // Plain text is a convenience for writing: it is stored with the rest.
        if let Some(Value::Object(plain)) = object.remove("stringData")
            && !plain.is_empty()
            && let Some(data) = object.make("data")
        {
            for (key, value) in plain {
                data.set(&key, STANDARD.encode(value.as_str().unwrap_or_default()));
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("data");
        let mut bytes = 0;
        for (key, value) in object.strings("data") {
            errors.each_invalid(&at.key(key), key, names::config_map_key(key));
            bytes += decoded_bytes(value);
        }
        if bytes > DATA_BYTES_MAX {
            errors.too_long(&at, DATA_BYTES_MAX);
        }
        by_type(object, &at, &mut errors);
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if new.text("type") != "kubernetes.io/tls" {
            return Vec::new();
        }
        let part = |key: &str| STANDARD.decode(new.or_null("data").text(key)).unwrap_or_default();
        let complaint = minato_pki::check_key_pair(&part("tls.crt"), &part("tls.key")).err();
        complaint.into_iter().map(|complaint| complaint.to_string()).collect()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::immutable(new, old, "type", &At::Root, &mut errors);
        sealed(new, old, &["data"], &mut errors);
        let mut errors = errors.into_vec();
        errors.extend(self.validate(new));
        errors
    }
}

/// What the well-known types must contain.
fn by_type(secret: &Value, at: &At<'_>, errors: &mut Errors) {
    let data = secret.or_null("data");
    let mut require = |key: &str| {
        if !data.has(key) {
            errors.required(&at.key(key), "");
        }
    };
    match secret.text("type") {
        "kubernetes.io/service-account-token" => {
            let annotations = secret.or_null("metadata").or_null("annotations");
            if annotations.text(ACCOUNT_NAME).is_empty() {
                let at = At::Root.field("metadata");
                let at = at.field("annotations");
                errors.required(&at.key(ACCOUNT_NAME), "");
            }
        }
        "kubernetes.io/dockercfg" => json(data, ".dockercfg", at, errors),
        "kubernetes.io/dockerconfigjson" => json(data, ".dockerconfigjson", at, errors),
        "kubernetes.io/basic-auth" if !data.has("username") && !data.has("password") => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" if data.text("ssh-privatekey").is_empty() => {
            errors.required(&at.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            require("tls.crt");
            require("tls.key");
        }
        _ => {}
    }
}

fn json(data: &Value, key: &str, at: &At<'_>, errors: &mut Errors) {
    let at = at.key(key);
    let Some(text) = data.text_if(key) else {
        errors.required(&at, "");
        return;
    };
    let decoded = STANDARD.decode(text).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&decoded) {
        errors.invalid(&at, "<secret contents redacted>", error.to_string());
    }
}
