//! Probes and lifecycle hooks.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;

const PROBES: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const HOOKS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

/// The probes and hooks of a container that may have them.
pub(super) fn validate(container: &Value, grace_period: i64, at: &At<'_>, errors: &mut Errors) {
    if let Some(lifecycle) = container.at("lifecycle") {
        let at = at.field("lifecycle");
        for name in ["postStart", "preStop"] {
            if let Some(hook) = lifecycle.at(name) {
                handler(hook, HOOKS, grace_period, &at.field(name), errors);
            }
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.at(name) {
            let at = at.field(name);
            self::probe(probe, grace_period, &at, errors);
            let threshold = probe.int("successThreshold").unwrap_or(0);
            if name != "readinessProbe" && threshold != 1 {
                errors.invalid(&at.field("successThreshold"), threshold, "must be 1");
            }
            if name == "readinessProbe"
                && let Some(seconds) = probe.at("terminationGracePeriodSeconds")
            {
                let at = at.field("terminationGracePeriodSeconds");
                errors.invalid(&at, seconds.clone(), "must not be set for readinessProbes");
            }
        }
    }
}

fn probe(probe: &Value, grace_period: i64, at: &At<'_>, errors: &mut Errors) {
    handler(probe, PROBES, grace_period, at, errors);
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        check::nonnegative(probe, name, at, errors);
    }
    check::positive(probe, "terminationGracePeriodSeconds", at, errors);
}

fn handler(handler: &Value, kinds: &[&str], grace_period: i64, at: &At<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in kinds {
        let Some(action) = handler.at(kind) else { continue };
        let at = at.field(kind);
        if found {
            errors.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *kind {
            "exec" if action.list("command").is_empty() => errors.required(&at.field("command"), ""),
            "httpGet" => http(action, &at, errors),
            "tcpSocket" => check::port(action.or_null("port"), &at.field("port"), errors),
            "grpc" => check::port_number(action, "port", &at, errors),
            "sleep" => {
                let seconds = action.int("seconds").unwrap_or(0);
                if seconds < 0 || seconds > grace_period {
                    let detail =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_period})");
                    errors.invalid(&at, seconds, detail);
                }
            }
            _ => {}
        }
    }
    if !found {
        errors.required(at, "must specify a handler type");
    }
}

fn http(action: &Value, at: &At<'_>, errors: &mut Errors) {
    check::required(action, "path", at, errors);
    check::port(action.or_null("port"), &at.field("port"), errors);
    let scheme = action.text("scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(&at.field("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in action.list("httpHeaders") {
        let name = header.text("name");
        errors.each_invalid(&at.field("httpHeaders"), name, names::http_header(name));
    }
}
