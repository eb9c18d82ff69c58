//! VolumeAttachments: this volume shall be on that node.

use serde_json::{Value, json};

use crate::check;
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
            _ => {}
        }
        check::required_named(spec, "nodeName", names::dns_subdomain, &at, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if !crate::same::same(new.at("spec"), old.at("spec")) {
            errors.invalid(&At::Root.field("spec"), new.or_null("spec").clone(), "field is immutable");
        }
        errors.into_vec()
    }
}
