//! RuntimeClasses.

use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_map;
use crate::names;
use crate::path::At;
use crate::pod::scheduling::toleration;
use crate::read::{Fill, Read};
use crate::resources;
use crate::strategy::Strategy;
use crate::warnings::{Warnings, old_node_label};

pub(crate) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn default(&self, object: &mut Value) {
        if let Some(overhead) = object.inside("overhead") {
            resources::canonicalise_list(overhead, "podFixed");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let handler = object.text("handler");
        errors.each_invalid(&At::Root.field("handler"), handler, names::dns_label(handler));
        if let Some(overhead) = object.at("overhead") {
            // What a sandbox takes is checked, and told, as if it were limits.
            let limits = json!({"limits": overhead.or_null("podFixed")});
            resources::requirements(&limits, &[], &At::Root.field("overhead"), &mut errors);
        }
        let scheduling = object.or_null("scheduling");
        let at = At::Root.field("scheduling");
        if let Some(labels) = scheduling.map("nodeSelector") {
            label_map(labels, &at.field("nodeSelector"), &mut errors);
        }
        let at = at.field("tolerations");
        for (index, value) in scheduling.list("tolerations").iter().enumerate() {
            toleration(value, &at.index(index), &mut errors);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let at = At::Root.field("scheduling");
        for (key, _) in new.or_null("scheduling").map("nodeSelector").into_iter().flatten() {
            if let Some(text) = old_node_label(key) {
                warnings.push(&at.field("nodeSelector"), text);
            }
        }
        warnings.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        check::immutable(new, old, "handler", &At::Root, &mut errors);
        errors.into_vec()
    }
}
