//! Webhook configurations of both sorts.

use serde_json::{Value, json};

use super::{conditions, expressions, rules};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::same::same;
use crate::seen::Seen;
use crate::strategy::Strategy;

const TIMEOUT_SECONDS_MAX: i64 = 30;

/// Webhook configurations of both sorts.
pub(crate) struct WebhookConfiguration {
    pub(crate) mutating: bool,
}

impl Strategy for WebhookConfiguration {
    fn restricts_finalizers(&self) -> bool {
        false
    }

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
        let mut seen = Seen::new();
        for (index, webhook) in webhooks.iter().enumerate() {
            let at = at.index(index);
            self.webhook(webhook, &at, &mut errors);
            let name = webhook.text("name");
            if !name.is_empty() && seen.again(name) {
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
            rules::validate(rule, &rules_at.index(index), errors);
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
        conditions::validate(webhook, at, errors);
        expressions::webhook(webhook, at, errors);
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
    let mut seen = Seen::new();
    for (index, version) in versions.iter().enumerate() {
        errors.each_invalid(&at.index(index), version, names::dns_1035_label(version));
        if seen.again(version) {
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
            self::url(url, &at, errors);
        }
        (None, Some(service)) => {
            let at = at.field("service");
            if service.text("name").is_empty() {
                errors.required(&at.field("name"), "service name is required");
            }
            if service.text("namespace").is_empty() {
                errors.required(&at.field("namespace"), "service namespace is required");
            }
            if let Some(path) = service.text_if("path") {
                service_path(path, &at.field("path"), errors);
            }
            let port = service.int("port").unwrap_or(0);
            for message in names::port_number(port) {
                errors.invalid(&at.field("port"), port, format!("port is not valid: {message}"));
            }
        }
    }
}

/// `https://host/path`, with nothing behind the path.
fn url(url: &str, at: &At<'_>, errors: &mut Errors) {
    const FORM: &str = "desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.invalid(at, scheme, format!("'https' is the only allowed URL scheme; {FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        errors.invalid(at, host, format!("host must be specified; {FORM}"));
    }
    if let Some(user) = user {
        errors.invalid(at, user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        errors.invalid(at, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        errors.invalid(at, query, "query parameters are not permitted in the URL");
    }
}

fn service_path(path: &str, at: &At<'_>, errors: &mut Errors) {
    let url_path = path.split(['?', '#']).next().unwrap_or_default();
    if url_path != path || !path.starts_with('/') {
        let detail = if path.starts_with('/') { url_path.to_owned() } else { "must start with a '/'".to_owned() };
        errors.invalid(at, path, detail);
        return;
    }
    let Some(steps) = path.strip_prefix('/').map(|path| path.strip_suffix('/').unwrap_or(path)) else { return };
    if steps.is_empty() {
        return;
    }
    for (index, step) in steps.split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(at, path, format!("segment[{index}] may not be empty"));
            continue;
        }
        for failure in names::dns_subdomain(step) {
            errors.invalid(at, path, format!("segment[{index}]: {failure}"));
        }
    }
}
