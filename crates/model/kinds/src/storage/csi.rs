//! What CSI drivers say of themselves.

use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::pod::volumes::remote;
use crate::read::{Fill, Read};
use crate::resources;
use crate::same::same;
use crate::strategy::Strategy;
use crate::warnings::{Warnings, node_expressions, old_node_label};

pub(crate) struct CsiDriver;

impl Strategy for CsiDriver {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("attachRequired", true);
        spec.fill("podInfoOnMount", false);
        spec.fill("storageCapacity", false);
        spec.fill("fsGroupPolicy", "ReadWriteOnceWithFSType");
        spec.fill("requiresRepublish", false);
        spec.fill("seLinuxMount", false);
        if spec.list("volumeLifecycleModes").is_empty() {
            spec.set("volumeLifecycleModes", json!(["Persistent"]));
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let policies = ["File", "None", "ReadWriteOnceWithFSType"];
        check::one_of_if(spec, "fsGroupPolicy", &policies, &at, &mut errors);
        let modes_at = at.field("volumeLifecycleModes");
        for (index, mode) in spec.texts("volumeLifecycleModes").enumerate() {
            if !matches!(mode, "Ephemeral" | "Persistent") {
                errors.not_supported(&modes_at.index(index), mode, &["Ephemeral", "Persistent"]);
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let mut fixed = Errors::new();
        let at = At::Root.field("spec");
        for field in ["attachRequired", "volumeLifecycleModes"] {
            check::immutable(new.or_null("spec"), old.or_null("spec"), field, &at, &mut fixed);
        }
        errors.extend(fixed.into_vec());
        errors
    }

    fn has_generation(&self) -> bool {
        true
    }
}

pub(crate) struct CsiNode;

impl Strategy for CsiNode {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        let at = at.field("drivers");
        let drivers = object.or_null("spec").list("drivers");
        for (index, driver) in drivers.iter().enumerate() {
            let at = at.index(index);
            let name = driver.text("name");
            remote::csi_driver(name, &at.field("name"), &mut errors);
            check::required(driver, "nodeID", &at, &mut errors);
            check::nonnegative(driver.or_null("allocatable"), "count", &at.field("allocatable"), &mut errors);
            if drivers[..index].iter().any(|other| other.text("name") == name) {
                errors.duplicate(&at.field("name"), name);
            }
            let keys_at = at.field("topologyKeys");
            for key in driver.texts("topologyKeys") {
                errors.each_invalid(&keys_at, key, names::qualified_name(key));
            }
        }
        errors.into_vec()
    }
}

pub(crate) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Warnings::default();
        let topology = new.or_null("nodeTopology");
        let at = At::Root.field("nodeTopology");
        node_expressions(topology, "matchExpressions", &at, &mut warnings);
        for (label, _) in topology.map("matchLabels").into_iter().flatten() {
            if let Some(text) = old_node_label(label) {
                warnings.push(&at.field("matchLabels").field(label), text);
            }
        }
        warnings.into_vec()
    }

    fn default(&self, object: &mut Value) {
        for field in ["capacity", "maximumVolumeSize"] {
            resources::canonicalise(object, field);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if let Some(selector) = object.at("nodeTopology") {
            label_selector(selector, &At::Root.field("nodeTopology"), &mut errors);
        }
        let name = object.text("storageClassName");
        errors.each_invalid(&At::Root.field("storageClassName"), name, names::dns_subdomain(name));
        for field in ["capacity", "maximumVolumeSize"] {
            if let Some(value) = object.at(field) {
                resources::nonnegative(value, &At::Root.field(field), &mut errors);
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let mut fixed = Errors::new();
        for field in ["nodeTopology", "storageClassName"] {
            if !same(new.at(field), old.at(field)) {
                fixed.invalid(&At::Root.field(field), new.or_null(field).clone(), check::IMMUTABLE);
            }
        }
        errors.extend(fixed.into_vec());
        errors
    }
}
