//! Webhooks and policies that judge requests.

use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::strategy::Strategy;

/// Webhook configurations of both sorts.
pub(crate) struct WebhookConfiguration {
    pub(crate) mutating: bool,
}

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const TIMEOUT_SECONDS_MAX: i64 = 30;

impl Strategy for WebhookConfiguration {
    fn default(&self, object: &mut Value) {
        for webhook in object.each("webhooks") {
            webhook.fill("failurePolicy", "Fail");
            webhook.fill("matchPolicy", "Equivalent");
            webhook.fill("namespaceSelector", json!({}));
            webhook.fill("objectSelector", json!({}));
            webhook.fill("timeoutSeconds", 10);
            if self.mutating {
                webhook.fill("reinvocationPolicy", "Never");
            }
            for rule in webhook.each("rules") {
                rule.fill("scope", "*");
            }
            if let Some(service) = webhook.inside("clientConfig").and_then(|config| config.inside("service")) {
                service.fill("port", 443);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("webhooks");
        let webhooks = object.list("webhooks");
        for (index, webhook) in webhooks.iter().enumerate() {
            let at = at.index(index);
            self.webhook(webhook, &at, &mut errors);
            let name = webhook.text("name");
            if webhooks[..index].iter().any(|other| other.text("name") == name) {
                errors.duplicate(&at.field("name"), name);
            }
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn generation_changed(&self, new: &Value, old: &Value) -> bool {
        !same(new.at("webhooks"), old.at("webhooks"))
    }
}

impl WebhookConfiguration {
    fn webhook(&self, webhook: &Value, at: &At<'_>, errors: &mut Errors) {
        fully_qualified(webhook.text("name"), &at.field("name"), errors);
        let rules_at = at.field("rules");
        for (index, rule) in webhook.list("rules").iter().enumerate() {
            self::rule(rule, &rules_at.index(index), errors);
        }
        check::one_of_if(webhook, "failurePolicy", &["Fail", "Ignore"], at, errors);
        check::one_of_if(webhook, "matchPolicy", &["Equivalent", "Exact"], at, errors);
        match webhook.text_if("sideEffects") {
            None => errors.required(&at.field("sideEffects"), "must specify one of None, NoneOnDryRun"),
            Some("None" | "NoneOnDryRun") => {}
            Some(effects) => errors.not_supported(&at.field("sideEffects"), effects, &["None", "NoneOnDryRun"]),
        }
        if let Some(seconds) =
            webhook.int("timeoutSeconds").filter(|seconds| !(1..=TIMEOUT_SECONDS_MAX).contains(seconds))
        {
            let detail = "the timeout value must be between 1 and 30 seconds";
            errors.invalid(&at.field("timeoutSeconds"), seconds, detail);
        }
        for field in ["namespaceSelector", "objectSelector"] {
            if let Some(selector) = webhook.at(field) {
                label_selector(selector, &at.field(field), errors);
            }
        }
        if self.mutating {
            check::one_of_if(webhook, "reinvocationPolicy", &["IfNeeded", "Never"], at, errors);
        }
        review_versions(webhook, &at.field("admissionReviewVersions"), errors);
        client_config(webhook.or_null("clientConfig"), &at.field("clientConfig"), errors);
    }
}

fn fully_qualified(name: &str, at: &At<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(at, "");
        return;
    }
    let complaints = names::dns_subdomain(name);
    if !complaints.is_empty() {
        errors.invalid(at, name, complaints.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(at, name, "should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(webhook: &Value, at: &At<'_>, errors: &mut Errors) {
    let versions: Vec<&str> = webhook.texts("admissionReviewVersions").collect();
    if versions.is_empty() {
        errors.required(at, "must specify one of v1, v1beta1");
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        errors.each_invalid(&at.index(index), version, names::dns_1035_label(version));
        if versions[..index].contains(version) {
            errors.invalid(&at.index(index), *version, "duplicate version");
        }
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let value: Vec<Value> = versions.into_iter().map(Value::from).collect();
        errors.invalid(at, value, "must include at least one of v1, v1beta1");
    }
}

fn client_config(config: &Value, at: &At<'_>, errors: &mut Errors) {
    match (config.text_if("url"), config.at("service")) {
        (Some(_), Some(_)) | (None, None) => errors.required(at, "exactly one of url or service is required"),
        (Some(url), None) => {
            let at = at.field("url");
            if !url.starts_with("https://") {
                let scheme = url.split("://").next().filter(|_| url.contains("://")).unwrap_or_default();
                errors.invalid(
                    &at,
                    scheme,
                    "'https' is the only allowed URL scheme; desired format: https://host[/path]",
                );
            }
            if url.contains('#') {
                errors.invalid(&at, url, "fragments are not permitted in the URL");
            }
        }
        (None, Some(service)) => {
            let at = at.field("service");
            if service.text("name").is_empty() {
                errors.required(&at.field("name"), "service name is required");
            }
            if service.text("namespace").is_empty() {
                errors.required(&at.field("namespace"), "service namespace is required");
            }
            let port = service.int("port").unwrap_or(0);
            for message in names::port_number(port) {
                errors.invalid(&at.field("port"), port, format!("port is not valid: {message}"));
            }
        }
    }
}

fn rule(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    for field in ["operations", "apiGroups", "apiVersions", "resources"] {
        let at = at.field(field);
        let values: Vec<&str> = rule.texts(field).collect();
        if values.is_empty() {
            errors.required(&at, "");
        }
        if field != "resources" && values.len() > 1 && values.contains(&"*") {
            let value: Vec<Value> = values.iter().copied().map(Value::from).collect();
            errors.invalid(&at, value, "if '*' is present, must not specify other ".to_owned() + words(field));
        }
        for (index, value) in values.iter().enumerate() {
            if field == "operations" && !OPERATIONS.contains(value) {
                errors.not_supported(&at.index(index), *value, &OPERATIONS);
            }
            if matches!(field, "apiVersions" | "resources") && value.is_empty() {
                errors.required(&at.index(index), "");
            }
        }
    }
    check::one_of_if(rule, "scope", &["*", "Cluster", "Namespaced"], at, errors);
}

fn words(field: &str) -> &'static str {
    match field {
        "operations" => "operations",
        "apiGroups" => "API groups",
        _ => "API versions",
    }
}

/// Policies written in CEL, and their bindings. The expressions themselves are not compiled here.
pub(crate) struct Policy {
    pub(crate) mutating: bool,
}

impl Strategy for Policy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("failurePolicy", "Fail");
        if let Some(constraints) = spec.inside("matchConstraints") {
            default_match(constraints);
        }
        if self.mutating {
            spec.fill("reinvocationPolicy", "Never");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let bodies: &[&str] = if self.mutating { &["mutations"] } else { &["validations", "auditAnnotations"] };
        if bodies.iter().all(|body| spec.list(body).is_empty()) {
            let detail = match self.mutating {
                true => "mutations must contain at least one item",
                false => "validations or auditAnnotations must contain at least one item",
            };
            for body in bodies {
                errors.required(&at.field(body), detail);
            }
        }
        check::one_of_if(spec, "failurePolicy", &["Fail", "Ignore"], &at, &mut errors);
        let constraints_at = at.field("matchConstraints");
        match spec.at("matchConstraints") {
            None => errors.required(&constraints_at, ""),
            Some(constraints) => {
                if constraints.list("resourceRules").is_empty() {
                    errors.required(&constraints_at.field("resourceRules"), "");
                }
                match_resources(constraints, &constraints_at, &mut errors);
            }
        }
        let validations_at = at.field("validations");
        for (index, validation) in spec.list("validations").iter().enumerate() {
            if validation.text("expression").trim().is_empty() {
                let at = validations_at.index(index);
                errors.required(&at.field("expression"), "expression is not specified");
            }
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn default_match(constraints: &mut Value) {
    constraints.fill("matchPolicy", "Equivalent");
    constraints.fill("namespaceSelector", json!({}));
    constraints.fill("objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in constraints.each(list) {
            rule.fill("scope", "*");
        }
    }
}

fn match_resources(constraints: &Value, at: &At<'_>, errors: &mut Errors) {
    check::one_of_if(constraints, "matchPolicy", &["Equivalent", "Exact"], at, errors);
    for field in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = constraints.at(field) {
            label_selector(selector, &at.field(field), errors);
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        let at = at.field(list);
        for (index, rule) in constraints.list(list).iter().enumerate() {
            self::rule(rule, &at.index(index), errors);
        }
    }
}

/// Where a policy applies, and with what parameters.
pub(crate) struct PolicyBinding {
    pub(crate) mutating: bool,
}

impl Strategy for PolicyBinding {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        if let Some(resources) = spec.inside("matchResources") {
            default_match(resources);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        check::required_named(spec, "policyName", names::dns_subdomain, &at, &mut errors);
        if let Some(resources) = spec.at("matchResources") {
            match_resources(resources, &at.field("matchResources"), &mut errors);
        }
        if !self.mutating {
            let actions_at = at.field("validationActions");
            let actions: Vec<&str> = spec.texts("validationActions").collect();
            if actions.is_empty() {
                errors.required(&actions_at, "at least one validation action is required");
            }
            for (index, action) in actions.iter().enumerate() {
                if !matches!(*action, "Audit" | "Deny" | "Warn") {
                    errors.not_supported(&actions_at.index(index), *action, &["Audit", "Deny", "Warn"]);
                }
                if actions[..index].contains(action) {
                    errors.duplicate(&actions_at.index(index), *action);
                }
            }
            if actions.contains(&"Deny") && actions.contains(&"Warn") {
                let value: Vec<Value> = actions.into_iter().map(Value::from).collect();
                errors.invalid(&actions_at, value, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
            }
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}
