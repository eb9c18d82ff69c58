//! VolumeAttachments: this volume shall be on that node.

use serde_json::{Value, json};

use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::pod::volumes::remote;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

pub(crate) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn prepare_for_create(&self, object: &mut Value, _now: jiff::Timestamp) {
        object.set("status", json!({"attached": false}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        progress(object.or_null("status"), &mut errors);
        remote::csi_driver(spec.text("attacher"), &at.field("attacher"), &mut errors);
        let source = spec.or_null("source");
        let source_at = at.field("source");
        match (source.has("inlineVolumeSpec"), source.text_if("persistentVolumeName")) {
            (false, None) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.required(&source_at, detail);
            }
            (true, Some(_)) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.forbidden(&source_at, detail);
            }
            (false, Some("")) => {
                let detail = "must specify non empty persistentVolumeName";
                errors.required(&source_at.field("persistentVolumeName"), detail);
            }
            (true, None) => {
                let inline = source.or_null("inlineVolumeSpec");
                super::volume::inline(inline, &source_at.field("inlineVolumeSpec"), &mut errors);
            }
            (false, Some(name)) => {
                errors.each_invalid(&source_at.field("persistentVolumeName"), name, names::dns_subdomain(name));
            }
        }
        let node = spec.text("nodeName");
        errors.each_invalid(&at.field("nodeName"), node, names::dns_subdomain(node));
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        progress(new.or_null("status"), &mut errors);
        if !crate::same::same(new.at("spec"), old.at("spec")) {
            errors.invalid(&At::Root.field("spec"), new.or_null("spec").clone(), "field is immutable");
        }
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        progress(new.or_null("status"), &mut errors);
        errors.into_vec()
    }
}

const METADATA_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024;

/// What may be said of how far the attachment is.
fn progress(status: &Value, errors: &mut Errors) {
    let at = At::Root.field("status");
    let bytes: usize = status.strings("attachmentMetadata").map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        errors.too_long(&at.field("attachmentMetadata"), METADATA_BYTES_MAX);
    }
    for field in ["attachError", "detachError"] {
        let (error, at) = (status.or_null(field), at.field(field));
        if error.text("message").len() > MESSAGE_BYTES_MAX {
            // The reference tells the wrong limit.
            errors.too_long(&at.field("message"), METADATA_BYTES_MAX);
        }
        if let Some(code) = error.int("errorCode").filter(|code| *code < 0) {
            errors.invalid(&at.field("errorCode"), code, "must be between 0 and 2147483647, inclusive");
        }
    }
}
