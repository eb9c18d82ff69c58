//! Ingresses and IngressClasses.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::check;
use crate::error::{Errors, FieldError};
use crate::names;
use crate::path::At;
use crate::read::{Fill, Read};
use crate::strategy::Strategy;

pub(crate) struct Ingress;

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Strategy for Ingress {
    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        object.set("status", json!({"loadBalancer": {}}));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec_value = object.or_null("spec");
        let annotations = object.or_null("metadata").or_null("annotations");
        spec(spec_value, &At::Root.field("spec"), &mut errors);
        if let (Some(annotated), Some(class)) =
            (annotations.text_if(CLASS_ANNOTATION), spec_value.text_if("ingressClassName"))
            && annotated != class
        {
            let at = At::Root.field("annotations");
            let detail = "must match `ingressClassName` when both are specified";
            errors.invalid(&at.field(CLASS_ANNOTATION), annotated, detail);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = new.or_null("metadata").or_null("annotations").has(CLASS_ANNOTATION);
        if old.is_none() && annotated && !new.or_null("spec").has("ingressClassName") {
            return vec![format!(
                "annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead"
            )];
        }
        Vec::new()
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        spec(new.or_null("spec"), &At::Root.field("spec"), &mut errors);
        errors.into_vec()
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let at = At::Root.field("status");
        let at = at.field("loadBalancer");
        let at = at.field("ingress");
        for (index, ingress) in new.or_null("status").or_null("loadBalancer").list("ingress").iter().enumerate() {
            let at = at.index(index);
            if !ingress.text("ip").is_empty() {
                check::ip(ingress.text("ip"), &at.field("ip"), &mut errors);
            }
            let host = ingress.text("hostname");
            if !host.is_empty() {
                errors.each_invalid(&at.field("hostname"), host, names::dns_subdomain(host));
                if host.parse::<std::net::IpAddr>().is_ok() {
                    errors.invalid(&at.field("hostname"), host, "must be a DNS name, not an IP address");
                }
            }
        }
        errors.into_vec()
    }

    fn has_generation(&self) -> bool {
        true
    }
}

fn spec(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let rules = spec.list("rules");
    if rules.is_empty() && !spec.has("defaultBackend") {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.invalid(at, rules.to_vec(), detail);
    }
    if let Some(backend) = spec.at("defaultBackend") {
        self::backend(backend, &at.field("defaultBackend"), errors);
    }
    let rules_at = at.field("rules");
    for (index, rule) in rules.iter().enumerate() {
        self::rule(rule, &rules_at.index(index), errors);
    }
    let tls_at = at.field("tls");
    for (index, tls) in spec.list("tls").iter().enumerate() {
        let at = tls_at.index(index);
        let hosts_at = at.field("hosts");
        for (index, host) in tls.texts("hosts").enumerate() {
            self::host(host, &hosts_at.index(index), errors);
        }
        check::named(tls, "secretName", names::dns_subdomain, &at, errors);
    }
    if let Some(class) = spec.text_if("ingressClassName") {
        errors.each_invalid(&at.field("ingressClassName"), class, names::dns_subdomain(class));
    }
}

fn host(host: &str, at: &At<'_>, errors: &mut Errors) {
    let check = if host.contains('*') { names::wildcard_dns_subdomain } else { names::dns_subdomain };
    errors.each_invalid(at, host, check(host));
}

fn rule(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    let name = rule.text("host");
    let host_at = at.field("host");
    if !name.is_empty() {
        if name.parse::<std::net::IpAddr>().is_ok() {
            errors.invalid(&host_at, name, "must be a DNS name, not an IP address");
        }
        host(name, &host_at, errors);
    }
    let Some(http) = rule.at("http") else { return };
    let at = at.field("http");
    let at = at.field("paths");
    let paths = http.list("paths");
    if paths.is_empty() {
        errors.required(&at, "");
    }
    for (index, path) in paths.iter().enumerate() {
        self::path(path, &at.index(index), errors);
    }
}

fn path(rule: &Value, at: &At<'_>, errors: &mut Errors) {
    const INSIDE: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const ENDINGS: [&str; 2] = ["/..", "/."];
    let path = rule.text("path");
    let path_at = at.field("path");
    let kind_at = at.field("pathType");
    match rule.text_if("pathType") {
        None => {
            errors.required(&kind_at, "pathType must be specified");
            return;
        }
        Some("Exact" | "Prefix") => {
            if !path.starts_with('/') {
                errors.invalid(&path_at, path, "must be an absolute path");
            }
            if path.is_empty() {
                return backend(rule.or_null("backend"), &at.field("backend"), errors);
            }
            for sequence in INSIDE.iter().filter(|sequence| path.contains(*sequence)) {
                errors.invalid(&path_at, path, format!("must not contain '{sequence}'"));
            }
            for ending in ENDINGS.iter().filter(|ending| path.ends_with(*ending)) {
                errors.invalid(&path_at, path, format!("cannot end with '{ending}'"));
            }
        }
        Some("ImplementationSpecific") => {
            if !path.is_empty() && !path.starts_with('/') {
                errors.invalid(&path_at, path, "must be an absolute path");
            }
        }
        Some(kind) => errors.not_supported(&kind_at, kind, &PATH_TYPES),
    }
    backend(rule.or_null("backend"), &at.field("backend"), errors);
}

fn backend(backend: &Value, at: &At<'_>, errors: &mut Errors) {
    match (backend.at("resource"), backend.at("service")) {
        (Some(_), Some(_)) => errors.invalid(at, "", "cannot set both resource and service backends"),
        (None, None) => errors.invalid(at, "", "resource or service backend is required"),
        (Some(resource), None) => {
            reference(resource, &at.field("resource"), errors);
        }
        (None, Some(service)) => {
            let service_at = at.field("service");
            check::required_named(service, "name", names::dns_label, &service_at, errors);
            let port = service.or_null("port");
            let port_at = service_at.field("port");
            match (port.text("name"), port.int("number").unwrap_or(0)) {
                ("", 0) => errors.required(at, "port name or number is required"),
                ("", _) => check::port_number(port, "number", &port_at, errors),
                (name, 0) => errors.each_invalid(&port_at.field("name"), name, names::port_name(name)),
                _ => errors.invalid(at, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// Names an object of any kind.
fn reference(reference: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(group) = reference.text_if("apiGroup") {
        errors.each_invalid(&at.field("apiGroup"), group, names::dns_subdomain(group));
    }
    check::required_named(reference, "kind", names::path_segment, at, errors);
    check::required_named(reference, "name", names::path_segment, at, errors);
}

pub(crate) struct IngressClass;

const CONTROLLER_BYTES_MAX: usize = 250;

impl Strategy for IngressClass {
    fn default(&self, object: &mut Value) {
        if let Some(parameters) = object.inside("spec").and_then(|spec| spec.inside("parameters")) {
            parameters.fill("scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let spec = object.or_null("spec");
        let at = At::Root.field("spec");
        let controller = spec.text("controller");
        let controller_at = at.field("controller");
        if controller.len() > CONTROLLER_BYTES_MAX {
            errors.too_long(&controller_at, CONTROLLER_BYTES_MAX);
        }
        check::domain_prefixed_path(controller, &controller_at, &mut errors);
        if let Some(parameters) = spec.at("parameters") {
            let at = at.field("parameters");
            reference(parameters, &at, &mut errors);
            let scope = parameters.text("scope");
            check::one_of(parameters, "scope", &["Cluster", "Namespace"], &at, &mut errors);
            match (scope, parameters.text_if("namespace")) {
                ("Namespace", None) => {
                    let detail = "`parameters.scope` is set to 'Namespace'";
                    errors.required(&at.field("namespace"), detail);
                }
                ("Namespace", Some(namespace)) => {
                    errors.each_invalid(&at.field("namespace"), namespace, names::dns_label(namespace));
                }
                ("Cluster", Some(_)) => {
                    let detail = "`parameters.scope` is set to 'Cluster'";
                    errors.forbidden(&at.field("namespace"), detail);
                }
                _ => {}
            }
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let mut fixed = Errors::new();
        let at = At::Root.field("spec");
        check::immutable(new.or_null("spec"), old.or_null("spec"), "controller", &at, &mut fixed);
        errors.extend(fixed.into_vec());
        errors
    }

    fn has_generation(&self) -> bool {
        true
    }
}
