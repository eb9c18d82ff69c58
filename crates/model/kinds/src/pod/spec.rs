//! The rules of a pod spec, in a pod or in a template.

use serde_json::Value;

use super::containers::{self, Surroundings};
use super::{Context, network, scheduling, security, volumes};
use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::resources;
use crate::seen::Seen;

const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const ACTIVE_DEADLINE_MAX: i64 = i32::MAX as i64;

/// Checks a pod spec.
pub(crate) fn validate(spec: &Value, context: &Context<'_>, at: &At<'_>, errors: &mut Errors) {
    if !spec.has("terminationGracePeriodSeconds") {
        errors.required(&at.field("terminationGracePeriodSeconds"), "");
    }
    let around = Surroundings {
        volumes: volumes::validate(spec, context, at, errors),
        claim_names: resource_claims(spec, &at.field("resourceClaims"), errors),
        grace_period: spec.int("terminationGracePeriodSeconds").unwrap_or(0),
        restart_policy: spec.text("restartPolicy"),
        host_users: spec.flag("hostUsers").unwrap_or(true),
    };
    containers::validate(spec, &around, at, errors);
    if let Some(resources) = spec.at("resources") {
        pod_resources(resources, &at.field("resources"), errors);
    }
    network::host_network(spec, context.is_pod, at, errors);
    check::one_of(spec, "restartPolicy", &RESTART_POLICIES, at, errors);
    network::dns_policy(spec, at, errors);
    security::pod(spec, at, errors);
    network::dns_config(spec, at, errors);
    let gates_at = at.field("readinessGates");
    for (index, gate) in spec.list("readinessGates").iter().enumerate() {
        let at = gates_at.index(index);
        let kind = gate.text("conditionType");
        errors.each_invalid(&at.field("conditionType"), kind, names::qualified_name(kind));
    }
    scheduling::validate(spec, at, errors);
    security::host_users(spec, at, errors);
    check::named(spec, "serviceAccountName", names::dns_subdomain, at, errors);
    check::named(spec, "nodeName", names::dns_subdomain, at, errors);
    if let Some(seconds) = spec.int("activeDeadlineSeconds").filter(|value| !(1..=ACTIVE_DEADLINE_MAX).contains(value))
    {
        let at = at.field("activeDeadlineSeconds");
        errors.invalid(&at, seconds, "must be between 1 and 2147483647, inclusive");
    }
    check::named(spec, "hostname", names::dns_label, at, errors);
    check::named(spec, "subdomain", names::dns_label, at, errors);
    scheduling::tolerations(spec, &at.field("tolerations"), errors);
    network::host_aliases(spec, at, errors);
    check::named(spec, "priorityClassName", names::dns_subdomain, at, errors);
    if let Some(class) = spec.text_if("runtimeClassName") {
        errors.each_invalid(&at.field("runtimeClassName"), class, names::dns_subdomain(class));
    }
    if spec.has("preemptionPolicy") {
        check::one_of(spec, "preemptionPolicy", &["PreemptLowerPriority", "Never"], at, errors);
    }
    if let Some(overhead) = spec.map("overhead") {
        let at = at.field("overhead");
        let at = at.field("limits");
        for (name, value) in overhead {
            let at = at.key(name);
            resources::container_resource_name(name, &at, errors);
            resources::amount(name, value, &at, errors);
        }
    }
    security::operating_system(spec, at, errors);
}

/// Checks `spec.resourceClaims`; answers their names.
fn resource_claims<'a>(spec: &'a Value, at: &At<'_>, errors: &mut Errors) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    let mut known = Seen::new();
    for (index, claim) in spec.list("resourceClaims").iter().enumerate() {
        let at = at.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.required(&at.field("name"), "");
        } else if known.again(name) {
            errors.duplicate(&at.field("name"), name);
        } else {
            errors.each_invalid(&at.field("name"), name, names::dns_label(name));
            seen.push(name);
        }
        match (claim.text_if("resourceClaimName"), claim.text_if("resourceClaimTemplateName")) {
            (Some(_), Some(_)) => {
                let detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&at, claim.clone(), detail);
            }
            (None, None) => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&at, claim.clone(), detail);
            }
            _ => {}
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if let Some(name) = claim.text_if(field) {
                errors.each_invalid(&at.field(field), name, names::dns_subdomain(name));
            }
        }
    }
    seen
}

/// Resources of the pod as a whole: CPU, memory and huge pages.
fn pod_resources(value: &Value, at: &At<'_>, errors: &mut Errors) {
    for list in ["limits", "requests"] {
        let at = at.field(list);
        for name in value.map(list).into_iter().flat_map(serde_json::Map::keys) {
            if !matches!(name.as_str(), "cpu" | "memory") && !resources::is_huge_page(name) {
                errors.not_supported(&at.key(name), name.as_str(), &["cpu", "hugepages-", "memory"]);
            }
        }
    }
    if !value.list("claims").is_empty() {
        errors.forbidden(&at.field("claims"), "claims may not be specified at pod-level resources");
    }
    resources::requirements(value, &[], at, errors);
}
