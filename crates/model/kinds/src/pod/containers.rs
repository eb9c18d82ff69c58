//! Containers of all three sorts.

mod mounts;

use serde_json::Value;

use super::volumes::Volumes;
use super::{env, probes, restart, security};
use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::resources;
use crate::seen::Seen;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// What containers are checked against.
pub(super) struct Surroundings<'a> {
    pub(super) volumes: Volumes<'a>,
    pub(super) claim_names: Vec<&'a str>,
    pub(super) grace_period: i64,
    pub(super) restart_policy: &'a str,
    pub(super) host_users: bool,
}

/// All containers of a pod spec.
pub(super) fn validate(spec: &Value, around: &Surroundings<'_>, at: &At<'_>, errors: &mut Errors) {
    regular(spec, around, &at.field("containers"), errors);
    init(spec, around, &at.field("initContainers"), errors);
    ephemeral(spec, around, &at.field("ephemeralContainers"), errors);
}

fn regular(spec: &Value, around: &Surroundings<'_>, at: &At<'_>, errors: &mut Errors) {
    let containers = spec.list("containers");
    if containers.is_empty() {
        errors.required(at, "");
        return;
    }
    let mut seen = Seen::new();
    for (index, container) in containers.iter().enumerate() {
        let at = at.index(index);
        one(container, around, &at, errors);
        let name = container.text("name");
        if seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
        probes::validate(container, around.grace_period, &at, errors);
        restart::validate(container, &at, errors);
    }
    host_ports(containers, at, errors);
}

fn init(spec: &Value, around: &Surroundings<'_>, at: &At<'_>, errors: &mut Errors) {
    let containers = spec.list("initContainers");
    let mut seen = Seen::of(names_of(spec, "containers"));
    for (index, container) in containers.iter().enumerate() {
        let list_at = at;
        let at = at.index(index);
        one(container, around, &at, errors);
        restart::validate(container, &at, errors);
        let sidecar = container.text("restartPolicy") == "Always";
        let name = container.text("name");
        if !name.is_empty() && seen.again(name) {
            errors.duplicate(&at.field("name"), name);
        }
        host_ports(std::slice::from_ref(container), list_at, errors);
        if sidecar {
            probes::validate(container, around.grace_period, &at, errors);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if container.has(field) {
                    let detail = "may not be set for init containers without restartPolicy=Always";
                    errors.forbidden(&at.field(field), detail);
                }
            }
        }
        let resize = container.list("resizePolicy");
        if !resize.is_empty() && !sidecar {
            errors.invalid(&at.field("resizePolicy"), resize.to_vec(), "must not be set for init containers");
        }
    }
}

fn ephemeral(spec: &Value, around: &Surroundings<'_>, at: &At<'_>, errors: &mut Errors) {
    const MESSAGE: &str = "cannot be set for an Ephemeral Container";
    const NOT_ALLOWED: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let containers = spec.list("ephemeralContainers");
    let lasting = Seen::of(names_of(spec, "containers").chain(names_of(spec, "initContainers")));
    let mut seen = Seen::new();
    for (index, container) in containers.iter().enumerate() {
        let at = at.index(index);
        one(container, around, &at, errors);
        image_whitespace(container, &at, errors);
        let name = container.text("name");
        if seen.again(name) || lasting.has(name) {
            errors.duplicate(&at.field("name"), name);
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !lasting.has(target) {
            errors.not_found(&at.field("targetContainerName"), target);
        }
        for field in NOT_ALLOWED {
            if !crate::same::same(container.at(field), None) {
                errors.forbidden(&at.field(field), MESSAGE);
            }
        }
        let mounts_at = at.field("volumeMounts");
        for (index, mount) in container.list("volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.text(field).is_empty() {
                    let at = mounts_at.index(index);
                    errors.forbidden(&at.field(field), MESSAGE);
                }
            }
        }
    }
}

fn names_of<'a>(spec: &'a Value, list: &'a str) -> impl Iterator<Item = &'a str> {
    spec.list(list).iter().map(|container| container.text("name"))
}

/// What holds for every container.
fn one(container: &Value, around: &Surroundings<'_>, at: &At<'_>, errors: &mut Errors) {
    check::required_named(container, "name", names::dns_label, at, errors);
    // Templates may have white space around the image: it has always been so.
    check::required(container, "image", at, errors);
    check::one_of(container, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"], at, errors);
    ports(container, &at.field("ports"), errors);
    env::variables(container, at, errors);
    env::sources(container, at, errors);
    mounts::mounts(container, &around.volumes, at, errors);
    mounts::devices(container, &around.volumes, at, errors);
    pull_policy(container, "imagePullPolicy", at, errors);
    if let Some(resources) = container.at("resources") {
        resources::requirements(resources, &around.claim_names, &at.field("resources"), errors);
    }
    resize_policy(container, around.restart_policy, &at.field("resizePolicy"), errors);
    if let Some(context) = container.at("securityContext") {
        security::container(context, around.host_users, &at.field("securityContext"), errors);
    }
}

pub(super) fn pull_policy(holder: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    check::one_of(holder, name, &PULL_POLICIES, at, errors);
}

/// In pods, unlike in templates, an image has no white space around it.
pub(super) fn image_whitespace(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let image = container.text("image");
    if image.trim().len() != image.len() {
        errors.invalid(&at.field("image"), image, "must not have leading or trailing whitespace");
    }
}

fn ports(container: &Value, at: &At<'_>, errors: &mut Errors) {
    let ports = container.list("ports");
    let mut seen = Seen::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let complaints = names::port_name(name);
            if complaints.is_empty() && seen.again(name) {
                errors.duplicate(&at.field("name"), name);
            }
            errors.each_invalid(&at.field("name"), name, complaints);
        }
        match port.int("containerPort").unwrap_or(0) {
            0 => errors.required(&at.field("containerPort"), ""),
            _ => check::port_number(port, "containerPort", &at, errors),
        }
        if port.int("hostPort").unwrap_or(0) != 0 {
            check::port_number(port, "hostPort", &at, errors);
        }
        check::one_of(port, "protocol", &PROTOCOLS, &at, errors);
        if !port.text("hostIP").is_empty() {
            check::ip(port.text("hostIP"), &at.field("hostIP"), errors);
        }
    }
}

/// Two containers cannot have the same port of the host.
fn host_ports(containers: &[Value], at: &At<'_>, errors: &mut Errors) {
    let mut seen = Seen::new();
    for (index, container) in containers.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("ports");
        for (index, port) in container.list("ports").iter().enumerate() {
            let number = port.int("hostPort").unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = (port.text("protocol"), port.text("hostIP"), number);
            if seen.again(key) {
                let at = at.index(index);
                errors.duplicate(&at.field("hostPort"), format!("{}/{}/{}", key.0, key.1, key.2));
            }
        }
    }
}

fn resize_policy(container: &Value, restart_policy: &str, at: &At<'_>, errors: &mut Errors) {
    let policies = container.list("resizePolicy");
    let mut seen = Seen::new();
    for (index, policy) in policies.iter().enumerate() {
        let resource = policy.text("resourceName");
        if seen.again(resource) {
            errors.duplicate(&at.index(index), resource);
        }
        match resource {
            "cpu" | "memory" => {}
            "" => errors.required(at, ""),
            resource => errors.not_supported(at, resource, &["cpu", "memory"]),
        }
        let restart = policy.text("restartPolicy");
        match restart {
            "NotRequired" | "RestartContainer" => {}
            "" => errors.required(at, ""),
            restart => errors.not_supported(at, restart, &["NotRequired", "RestartContainer"]),
        }
        if restart_policy == "Never" && restart != "NotRequired" {
            errors.invalid(at, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}
