//! Security contexts of pods and containers.

use serde_json::Value;

use crate::check;
use crate::error::Errors;
use crate::names;
use crate::path::At;
use crate::read::Read;
use crate::seen::Seen;

const SECCOMP_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// `spec.securityContext` of a pod spec, and what of the spec depends on it.
pub(super) fn pod(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let Some(context) = spec.at("securityContext") else { return };
    let at = at.field("securityContext");
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(context, name, &at, errors);
    }
    for (index, group) in context.list("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        let at = at.field("supplementalGroups");
        for message in names::user_id(group) {
            errors.invalid(&at.index(index), group, message);
        }
    }
    if spec.is("shareProcessNamespace") && spec.is("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&at.field("shareProcessNamespace"), true, detail);
    }
    sysctls(spec, context, &at.field("sysctls"), errors);
    check::one_of_if(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], &at, errors);
    profiles(context, &at, errors);
    check::one_of_if(context, "supplementalGroupsPolicy", &["Merge", "Strict"], &at, errors);
    check::one_of_if(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], &at, errors);
}

/// `securityContext` of a container.
pub(super) fn container(context: &Value, host_users: bool, at: &At<'_>, errors: &mut Errors) {
    for name in ["runAsUser", "runAsGroup"] {
        id(context, name, at, errors);
    }
    check::one_of_if(context, "procMount", &["Default", "Unmasked"], at, errors);
    if host_users && context.text("procMount") == "Unmasked" {
        errors.invalid(&at.field("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`");
    }
    profiles(context, at, errors);
    if context.flag("allowPrivilegeEscalation") == Some(false) {
        if context.is("privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(at, context.clone(), detail);
        }
        if context.or_null("capabilities").texts("add").any(|capability| capability == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(at, context.clone(), detail);
        }
    }
}

fn id(context: &Value, name: &str, at: &At<'_>, errors: &mut Errors) {
    if let Some(id) = context.int(name) {
        for message in names::user_id(id) {
            errors.invalid(&at.field(name), id, message);
        }
    }
}

fn profiles(context: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(profile) = context.at("seccompProfile") {
        seccomp(profile, &at.field("seccompProfile"), errors);
    }
    if let Some(options) = context.at("windowsOptions") {
        windows(options, &at.field("windowsOptions"), errors);
    }
    if let Some(profile) = context.at("appArmorProfile") {
        app_armor(profile, &at.field("appArmorProfile"), errors);
    }
}

fn seccomp(profile: &Value, at: &At<'_>, errors: &mut Errors) {
    let kind = profile.text("type");
    match kind {
        "" => errors.required(&at.field("type"), "type is required when seccompProfile is set"),
        kind if !SECCOMP_TYPES.contains(&kind) => errors.not_supported(&at.field("type"), kind, &SECCOMP_TYPES),
        _ => {}
    }
    let at = at.field("localhostProfile");
    match (kind == "Localhost", profile.text_if("localhostProfile")) {
        (true, None) => errors.required(&at, "must be set when seccomp type is Localhost"),
        (true, Some(path)) => check::descending_path(path, &at, errors),
        (false, Some(_)) => {
            errors.invalid(&at, profile.clone(), "can only be set when seccomp type is Localhost");
        }
        (false, None) => {}
    }
}

fn app_armor(profile: &Value, at: &At<'_>, errors: &mut Errors) {
    const PATH_BYTES_MAX: usize = 4095;
    const REQUIRED: &str = "must be set when AppArmor type is Localhost";
    let path_at = at.field("localhostProfile");
    let path = profile.text_if("localhostProfile");
    match (profile.text("type"), path) {
        ("Localhost", None | Some("")) => errors.required(&path_at, REQUIRED),
        ("Localhost", Some(path)) => {
            if path.trim() != path {
                errors.invalid(&path_at, path, "must not be padded with whitespace");
            }
            if path.len() > PATH_BYTES_MAX {
                errors.too_long(&path_at, PATH_BYTES_MAX);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(path)) => {
            errors.invalid(&path_at, path, "can only be set when AppArmor type is Localhost");
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => errors.required(&at.field("type"), "type is required when appArmorProfile is set"),
        (kind, _) => errors.not_supported(&at.field("type"), kind, &SECCOMP_TYPES),
    }
}

fn windows(options: &Value, at: &At<'_>, errors: &mut Errors) {
    if let Some(name) = options.text_if("gmsaCredentialSpecName") {
        errors.each_invalid(&at.field("gmsaCredentialSpecName"), name, names::dns_subdomain(name));
    }
    if let Some(spec) = options.text_if("gmsaCredentialSpec") {
        let at = at.field("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > 64 * 1024 {
            errors.invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB");
        }
    }
    if options.text_if("runAsUserName") == Some("") {
        errors.invalid(&at.field("runAsUserName"), "", "runAsUserName cannot be an empty string");
    }
}

fn is_sysctl(name: &str) -> bool {
    let segment = |segment: &str| {
        let bytes = segment.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|byte| alphanumeric(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn sysctls(spec: &Value, context: &Value, at: &At<'_>, errors: &mut Errors) {
    let sysctls = context.list("sysctls");
    let mut seen = Seen::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("name");
        let name = sysctl.text("name");
        if name.is_empty() {
            errors.required(&at, "");
        } else if !is_sysctl(name) {
            errors.invalid(&at, name, SYSCTL);
        } else if seen.again(name) {
            errors.duplicate(&at, name);
        }
        let dotted = name.replace('/', ".");
        if spec.is("hostNetwork") && dotted.starts_with("net.") {
            errors.invalid(&at, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.is("hostIPC")
            && (dotted.starts_with("kernel.shm")
                || dotted.starts_with("kernel.msg")
                || dotted.starts_with("fs.mqueue.")
                || dotted == "kernel.sem")
        {
            errors.invalid(&at, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// What a pod with its own user namespace cannot share with the host.
pub(super) fn host_users(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    if spec.flag("hostUsers") == Some(false) {
        for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
            if spec.is(field) {
                errors.forbidden(&at.field(shown), "when `hostUsers` is false");
            }
        }
    }
}

const WINDOWS: &str = "cannot be set for a windows pod";
const POD_LINUX_ONLY: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
];
const CONTAINER_LINUX_ONLY: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// `spec.os` and what it rules out.
pub(super) fn operating_system(spec: &Value, at: &At<'_>, errors: &mut Errors) {
    let Some(os) = spec.at("os") else { return };
    let context = spec.or_null("securityContext");
    let context_at = at.field("securityContext");
    match os.text("name") {
        "" => errors.required(&at.field("os").field("name"), "cannot be empty"),
        "linux" => {
            const LINUX: &str = "windows options cannot be set for a linux pod";
            if context.has("windowsOptions") {
                errors.forbidden(&context_at.field("windowsOptions"), LINUX);
            }
            each_container(spec, at, &mut |context, at| {
                if context.has("windowsOptions") {
                    errors.forbidden(&at.field("windowsOptions"), LINUX);
                }
            });
        }
        "windows" => {
            for field in POD_LINUX_ONLY {
                if context.has(field) {
                    errors.forbidden(&context_at.field(field), WINDOWS);
                }
            }
            for field in ["hostUsers", "shareProcessNamespace"] {
                if spec.has(field) {
                    errors.forbidden(&at.field(field), WINDOWS);
                }
            }
            for field in ["hostPID", "hostIPC"] {
                if spec.is(field) {
                    errors.forbidden(&at.field(field), WINDOWS);
                }
            }
            each_container(spec, at, &mut |context, at| {
                for field in CONTAINER_LINUX_ONLY {
                    if context.has(field) {
                        errors.forbidden(&at.field(field), WINDOWS);
                    }
                }
            });
        }
        name => errors.not_supported(&at.field("os"), name, &["linux", "windows"]),
    }
}

/// Visits the security context of every container that has one.
fn each_container(spec: &Value, at: &At<'_>, visit: &mut dyn FnMut(&Value, &At<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let at = at.field(list);
        for (index, container) in spec.list(list).iter().enumerate() {
            if let Some(context) = container.at("securityContext") {
                let at = at.index(index);
                visit(context, &at.field("securityContext"));
            }
        }
    }
}
