//! Roles and their bindings.

use serde_json::Value;

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Roles, in a namespace or for the whole cluster.
pub(crate) struct Role {
    pub(crate) namespaced: bool,
}

impl Strategy for Role {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("rules");
        for (index, rule) in object.list("rules").iter().enumerate() {
            self::rule(rule, self.namespaced, &at.index(index), &mut errors);
        }
        if let Some(aggregation) = object.at("aggregationRule").filter(|_| !self.namespaced) {
            let at = At::Root.field("aggregationRule");
            let at = at.field("clusterRoleSelectors");
            let selectors = aggregation.list("clusterRoleSelectors");
            if selectors.is_empty() {
                let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.required(&at, detail);
            }
            for (index, selector) in selectors.iter().enumerate() {
                label_selector(selector, &at.index(index), &mut errors);
            }
        }
        errors.into_vec()
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn rule(rule: &Value, namespaced: bool, at: &At<'_>, errors: &mut Errors) {
    if rule.list("verbs").is_empty() {
        errors.required(&at.field("verbs"), "verbs must contain at least one value");
    }
    let urls = rule.list("nonResourceURLs");
    if !urls.is_empty() {
        let urls_at = at.field("nonResourceURLs");
        if namespaced {
            errors.invalid(&urls_at, urls.to_vec(), "namespaced rules cannot apply to non-resource URLs");
        }
        let resources = ["apiGroups", "resources", "resourceNames"];
        if resources.iter().any(|field| !rule.list(field).is_empty()) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.invalid(&urls_at, urls.to_vec(), detail);
        }
        return;
    }
    if rule.list("apiGroups").is_empty() {
        errors.required(&at.field("apiGroups"), "resource rules must supply at least one api group");
    }
    if rule.list("resources").is_empty() {
        errors.required(&at.field("resources"), "resource rules must supply at least one resource");
    }
}

/// Bindings of roles to subjects.
pub(crate) struct RoleBinding {
    pub(crate) namespaced: bool,
}

impl Strategy for RoleBinding {
    fn default(&self, object: &mut Value) {
        if let Some(role) = object.inside("roleRef") {
            role.fill_text("apiGroup", GROUP);
        }
        for subject in object.each("subjects") {
            if matches!(subject.text("kind"), "User" | "Group") {
                subject.fill_text("apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        role_reference(object.or_null("roleRef"), self.namespaced, &mut errors);
        let at = At::Root.field("subjects");
        for (index, subject) in object.list("subjects").iter().enumerate() {
            self::subject(subject, self.namespaced, &at.index(index), &mut errors);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        if !same(new.at("roleRef"), old.at("roleRef")) {
            let mut fixed = Errors::new();
            fixed.invalid(&At::Root.field("roleRef"), new.or_null("roleRef").clone(), "cannot change roleRef");
            errors.extend(fixed.into_vec());
        }
        errors
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

fn role_reference(role: &Value, namespaced: bool, errors: &mut Errors) {
    let at = At::Root.field("roleRef");
    if role.text("apiGroup") != GROUP {
        errors.not_supported(&at.field("apiGroup"), role.text("apiGroup"), &[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&role.text("kind")) {
        errors.not_supported(&at.field("kind"), role.text("kind"), kinds);
    }
    check::required_named(role, "name", names::path_segment, &at, errors);
}

fn subject(subject: &Value, namespaced: bool, at: &At<'_>, errors: &mut Errors) {
    let (kind, name, group) = (subject.text("kind"), subject.text("name"), subject.text("apiGroup"));
    check::required(subject, "name", at, errors);
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.each_invalid(&at.field("name"), name, names::dns_subdomain(name));
            }
            if !group.is_empty() {
                errors.not_supported(&at.field("apiGroup"), group, &[""]);
            }
            if !namespaced && subject.text("namespace").is_empty() {
                errors.required(&at.field("namespace"), "");
            }
        }
        "User" | "Group" => {
            if name.is_empty() {
                errors.invalid(&at.field("name"), "", format!("{} name cannot be empty", kind.to_lowercase()));
            }
            if group != GROUP {
                errors.not_supported(&at.field("apiGroup"), group, &[GROUP]);
            }
        }
        kind => errors.not_supported(&at.field("kind"), kind, &["ServiceAccount", "User", "Group"]),
    }
}
