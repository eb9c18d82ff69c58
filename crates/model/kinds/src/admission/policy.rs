//! Policies written in CEL, and their bindings.

use serde_json::Value;

use super::{conditions, expressions, rules};
use crate::check;
use crate::error::{Errors, FieldError};
use crate::metadata::label_selector;
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::seen::Seen;
use crate::strategy::Strategy;

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_BYTES_MAX: usize = 5 * 1024;
const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

/// Policies written in CEL, and their bindings.
pub(crate) struct Policy {
    pub(crate) mutating: bool,
}

impl Strategy for Policy {
    fn restricts_finalizers(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        spec.fill("failurePolicy", "Fail");
        if let Some(constraints) = spec.inside("matchConstraints") {
            rules::default_match(constraints);
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
        check::one_of(spec, "failurePolicy", &["Fail", "Ignore"], &at, &mut errors);
        if let Some(kind) = spec.at("paramKind") {
            param_kind(kind, &at.field("paramKind"), &mut errors);
        }
        let constraints_at = at.field("matchConstraints");
        match spec.at("matchConstraints") {
            None => errors.required(&constraints_at, ""),
            Some(constraints) => {
                rules::match_resources(constraints, &constraints_at, &mut errors);
                if constraints.list("resourceRules").is_empty() {
                    errors.required(&constraints_at.field("resourceRules"), "");
                }
            }
        }
        conditions::validate(spec, &at, &mut errors);
        variables(spec, &at.field("variables"), &mut errors);
        expressions::policy(spec, &at, &mut errors);
        if self.mutating {
            check::one_of(spec, "reinvocationPolicy", &["IfNeeded", "Never"], &at, &mut errors);
            mutations(spec, &at.field("mutations"), &mut errors);
        } else {
            validations(spec, &at.field("validations"), &mut errors);
            let name = object.or_null("metadata").text("name");
            audit_annotations(spec, name, &at.field("auditAnnotations"), &mut errors);
        }
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let status = new.or_null("status");
        let at = At::Root.field("status");
        let warnings_at = at.field("typeChecking");
        let warnings_at = warnings_at.field("expressionWarnings");
        for (index, warning) in status.or_null("typeChecking").list("expressionWarnings").iter().enumerate() {
            let at = warnings_at.index(index);
            check::required(warning, "warning", &at, &mut errors);
            check::required(warning, "fieldRef", &at, &mut errors);
        }
        crate::conditions::validate(status, &at, &mut errors);
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn param_kind(kind: &Value, at: &At<'_>, errors: &mut Errors) {
    let version_at = at.field("apiVersion");
    let api_version = kind.text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if api_version.is_empty() {
        errors.required(&version_at, "");
    } else if version.contains('/') {
        errors.invalid(&version_at, api_version, format!("unexpected GroupVersion string: {api_version}"));
    } else {
        let complaints = if group.is_empty() { Vec::new() } else { names::dns_subdomain(group) };
        if !complaints.is_empty() {
            errors.invalid(&version_at, group, complaints.join(","));
        }
        let complaints = names::dns_1035_label(version);
        if version.is_empty() {
            errors.invalid(&version_at, api_version, "version must be specified");
        } else if !complaints.is_empty() {
            errors.invalid(&version_at, version, complaints.join(","));
        }
    }
    match kind.text("kind") {
        "" => errors.required(&at.field("kind"), ""),
        name => {
            let complaints = names::dns_1035_label(&name.to_lowercase());
            if !complaints.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                errors.invalid(&at.field("kind"), name, detail);
            }
        }
    }
}

fn variables(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let variables = spec.list("variables");
    let mut seen = Seen::new();
    for (index, variable) in variables.iter().enumerate() {
        let at = at.index(index);
        let name = variable.text("name");
        if name.is_empty() || variable.text("expression").trim().is_empty() {
            let field = if name.is_empty() { "name" } else { "expression" };
            let detail = if name.is_empty() { "name is not specified" } else { "expression is not specified" };
            errors.required(&at.field(field), detail);
        } else if !names::c_identifier(name).is_empty() {
            errors.invalid(&at.field("name"), name, "name is not a valid CEL identifier");
        }
        if !name.is_empty() && seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
    }
}

fn validations(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    for (index, validation) in spec.list("validations").iter().enumerate() {
        let at = at.index(index);
        if validation.text("expression").trim().is_empty() {
            errors.required(&at.field("expression"), "expression is not specified");
        }
        let expression = validation.text("messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            errors.invalid(&at.field("messageExpression"), expression, "must be non-empty if specified");
        }
        let message = validation.text("message");
        if !message.is_empty() && message.trim().is_empty() {
            errors.invalid(&at.field("message"), message, "message must be non-empty if specified");
        } else if message.trim().contains(['\n', '\r']) {
            errors.invalid(&at.field("message"), message, "message must not contain line breaks");
        }
        check::one_of_if(validation, "reason", &REASONS, &at, errors);
    }
}

fn audit_annotations(spec: &Value, policy: &str, at: &At<'_>, errors: &mut Errors) {
    let annotations = spec.list("auditAnnotations");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let detail = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        errors.invalid(at, annotations.to_vec(), detail);
    }
    let mut seen = Seen::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let at = at.index(index);
        let key = annotation.text("key");
        let whole = format!("{policy}/{key}");
        errors.each_invalid(&at.field("key"), &whole, names::qualified_name(&whole));
        let expression_at = at.field("valueExpression");
        match annotation.text("valueExpression").trim() {
            "" => errors.required(&expression_at, "valueExpression is not specified"),
            expression if expression.len() > AUDIT_EXPRESSION_BYTES_MAX => {
                let detail = format!("must not exceed {AUDIT_EXPRESSION_BYTES_MAX} bytes in length");
                errors.required(&expression_at, &detail);
            }
            _ => {}
        }
        if seen.again(key) {
            errors.duplicate(&at.field("key"), key);
        }
    }
}

fn mutations(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    const KINDS: [(&str, &str); 2] = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
    for (index, mutation) in spec.list("mutations").iter().enumerate() {
        let at = at.index(index);
        let kind = mutation.text("patchType");
        let Some((_, field)) = KINDS.iter().find(|(known, _)| *known == kind) else {
            match kind {
                "" => errors.required(&at.field("patchType"), ""),
                kind => errors.not_supported(&at.field("patchType"), kind, &KINDS.map(|(known, _)| known)),
            }
            continue;
        };
        let here = at.field(field);
        match mutation.at(field) {
            None => {
                let detail = format!("must be specified when patchType is {kind}");
                errors.required(&here, &detail);
            }
            Some(patch) if patch.text("expression").trim().is_empty() => {
                errors.required(&here.field("expression"), "expression is not specified");
            }
            Some(_) => {}
        }
        for (_, other) in KINDS.iter().filter(|(known, other)| *known != kind && mutation.has(other)) {
            errors.invalid(&at.field(other), "{}", format!("must not be specified when patchType is {kind}"));
        }
    }
}

fn param_ref(reference: &Value, at: &At<'_>, errors: &mut Errors) {
    let name = reference.text("name");
    errors.each_invalid(&at.field("name"), name, names::path_segment(name));
    match (name.is_empty(), reference.at("selector")) {
        (true, None) => errors.required(at, "one of name or selector must be specified"),
        (false, Some(selector)) => {
            errors.forbidden(&at.field("name"), "name and selector are mutually exclusive");
            label_selector(selector, &at.field("selector"), errors);
        }
        (true, Some(selector)) => label_selector(selector, &at.field("selector"), errors),
        (false, None) => {}
    }
    match reference.text_if("parameterNotFoundAction") {
        None => errors.required(&at.field("parameterNotFoundAction"), ""),
        Some("Allow" | "Deny") => {}
        Some(action) => {
            errors.not_supported(&at.field("parameterNotFoundAction"), action, &["Deny", "Allow"]);
        }
    }
}

/// Where a policy applies, and with what parameters.
pub(crate) struct PolicyBinding {
    pub(crate) mutating: bool,
}

impl Strategy for PolicyBinding {
    fn restricts_finalizers(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.make("spec") else { return };
        if let Some(resources) = spec.inside("matchResources") {
            rules::default_match(resources);
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        check::required_named(spec, "policyName", names::dns_subdomain, &at, &mut errors);
        if let Some(reference) = spec.at("paramRef") {
            param_ref(reference, &at.field("paramRef"), &mut errors);
        }
        if let Some(resources) = spec.at("matchResources") {
            // Spelt this way in the reference.
            rules::match_resources(resources, &at.field("matchResouces"), &mut errors);
        }
        if !self.mutating {
            let actions_at = at.field("validationActions");
            let actions: Vec<&str> = spec.texts("validationActions").collect();
            if actions.is_empty() {
                errors.required(&actions_at, "at least one validation action is required");
            }
            let mut seen = Seen::new();
            for (index, action) in actions.iter().enumerate() {
                if !matches!(*action, "Audit" | "Deny" | "Warn") {
                    errors.not_supported(&actions_at.index(index), *action, &["Audit", "Deny", "Warn"]);
                }
                if seen.again(action) {
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
