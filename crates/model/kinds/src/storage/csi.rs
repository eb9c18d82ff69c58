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
use crate::same::{same, same_value};
use crate::seen::Seen;
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
        for mode in spec.texts("volumeLifecycleModes") {
            if !matches!(mode, "Ephemeral" | "Persistent") {
                errors.not_supported(&modes_at, mode, &["Persistent", "Ephemeral"]);
            }
        }
        if let Some(seconds) = spec.int("nodeAllocatableUpdatePeriodSeconds").filter(|seconds| *seconds < 10) {
            let detail = "must be greater than or equal to 10 seconds";
            errors.invalid(&at.field("nodeAllocatableUpdatePeriodSeconds"), seconds, detail);
        }
        if let Some(value) = spec.at("serviceAccountTokenInSecrets").filter(|_| spec.list("tokenRequests").is_empty()) {
            let detail = "must not be set when tokenRequests is empty";
            errors.invalid(&at.field("serviceAccountTokenInSecrets"), value.clone(), detail);
        }
        token_requests(spec, &at.field("tokenRequests"), &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let mut fixed = Errors::new();
        let at = At::Root.field("spec");
        // Spelt this way in the reference.
        for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
        {
            let (new, old) = (new.or_null("spec"), old.or_null("spec"));
            if !same(new.at(field), old.at(field)) {
                fixed.invalid(&at.field(shown), new.or_null(field).clone(), check::IMMUTABLE);
            }
        }
        errors.extend(fixed.into_vec());
        errors
    }

    fn has_generation(&self) -> bool {
        true
    }
}

/// The tokens that the driver is given: one for an audience.
fn token_requests(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let requests = spec.list("tokenRequests");
    let mut seen = Seen::new();
    for (index, request) in requests.iter().enumerate() {
        let at = at.index(index);
        let audience = request.text("audience");
        if seen.again(audience) {
            errors.duplicate(&at.field("audience"), audience);
            continue;
        }
        let at = at.field("expirationSeconds");
        match request.int("expirationSeconds") {
            Some(seconds) if seconds < 600 => {
                errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
            }
            Some(seconds) if seconds > 1 << 32 => {
                errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
}

pub(crate) struct CsiNode;

const NODE_ID_BYTES_MAX: usize = 256;

impl Strategy for CsiNode {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        let at = at.field("drivers");
        let drivers = object.or_null("spec").list("drivers");
        let mut seen = Seen::new();
        for (index, driver) in drivers.iter().enumerate() {
            let at = at.index(index);
            let name = driver.text("name");
            remote::csi_driver(name, &at.field("name"), &mut errors);
            check::required(driver, "nodeID", &at, &mut errors);
            if driver.text("nodeID").len() > NODE_ID_BYTES_MAX {
                let detail = format!("must be {NODE_ID_BYTES_MAX} characters or less");
                errors.invalid(&at.field("nodeID"), driver.text("nodeID"), detail);
            }
            check::nonnegative(driver.or_null("allocatable"), "count", &at.field("allocatable"), &mut errors);
            if seen.again(name) {
                errors.duplicate(&at.field("name"), name);
            }
            let keys: Vec<&str> = driver.texts("topologyKeys").collect();
            let mut seen = Seen::new();
            for key in &keys {
                if key.is_empty() {
                    errors.required(&at, "");
                }
                if seen.again(key) {
                    errors.duplicate(&at, *key);
                }
                errors.each_invalid(&at, key, names::qualified_name(key));
            }
        }
        errors.into_vec()
    }

    /// What a driver said of itself stays, but for how many volumes it can have.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("spec");
        for driver in new.or_null("spec").list("drivers") {
            let mut before = old.or_null("spec").list("drivers").iter();
            let Some(before) = before.find(|before| before.text("name") == driver.text("name")) else { continue };
            let mut comparable = driver.clone();
            comparable.copy("allocatable", before);
            if !same_value(&comparable, before) {
                errors.invalid(&at.field("drivers"), driver.clone(), check::IMMUTABLE);
            }
        }
        let mut all = self.validate(new);
        all.extend(errors.into_vec());
        all
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
        if let Some(value) = object.at("capacity") {
            resources::nonnegative(value, &At::Root.field("capacity"), &mut errors);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        for field in ["nodeTopology", "storageClassName"] {
            check::immutable(new, old, field, &At::Root, &mut errors);
        }
        errors.into_vec()
    }
}
