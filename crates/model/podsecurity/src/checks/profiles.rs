//! The checks of what confines a container: AppArmor, SELinux, seccomp.

use serde_json::Value;

use crate::pod::{Pod, Values, Violation, named, plural, quoted, text};

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

fn is_confined(profile_type: &str) -> bool {
    matches!(profile_type, "RuntimeDefault" | "Localhost")
}

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let mut types = Values::new();
    let setters = pod.bad_setters(|context| {
        let profile = &context["appArmorProfile"];
        let bad = !profile.is_null() && !is_confined(text(&profile["type"]));
        if bad {
            types.insert(text(&profile["type"]));
        }
        bad
    });
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let mut forbidden: Vec<String> = annotations
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !allowed(value))
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    forbidden.sort();
    let annotated = (!forbidden.is_empty()).then(|| plural("annotation", "annotations", forbidden.len()).to_owned());
    let setters: Vec<String> = setters.into_iter().chain(annotated).collect();
    if setters.is_empty() {
        return None;
    }
    let values: Vec<&str> = types.into_iter().chain(forbidden.iter().map(String::as_str)).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    let (who, what) = (setters.join(" and "), quoted(values));
    Some(Violation::new(reason, format!("{who} must not set AppArmor profile type to {what}")))
}

pub(super) fn se_linux(pod: &Pod<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub(super) fn se_linux_1_31(pod: &Pod<'_>) -> Option<Violation> {
    se_linux_of(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux_of(pod: &Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let mut types = Values::new();
    let (mut sets_user, mut sets_role) = (false, false);
    let who = pod.bad_setters(|context| {
        let options = &context["seLinuxOptions"];
        let bad_type = !allowed.contains(&text(&options["type"]));
        if bad_type {
            types.insert(text(&options["type"]));
        }
        let (user, role) = (!text(&options["user"]).is_empty(), !text(&options["role"]).is_empty());
        sets_user |= user;
        sets_role |= role;
        bad_type || user || role
    })?;
    let mut told = Vec::new();
    if !types.is_empty() {
        told.push(named("type", &types.into_iter().collect::<Vec<_>>()));
    }
    if sets_user {
        told.push("user may not be set".to_owned());
    }
    if sets_role {
        told.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", told.join("; "));
    Some(Violation::new("seLinuxOptions", detail))
}

/// Before v1.19, profiles were annotations.
pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let of_containers =
        pod.containers().map(|container| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", text(&container["name"])));
    let keys = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(of_containers);
    let forbidden: std::collections::BTreeSet<String> = keys
        .filter_map(|key| {
            let value = pod.annotation(&key).filter(|value| !allowed(value))?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    (!forbidden.is_empty()).then(|| {
        let noun = plural("annotation", "annotations", forbidden.len());
        let listed = forbidden.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        Violation::new("seccompProfile", format!("forbidden {noun} {listed}"))
    })
}

fn is_bad_seccomp(context: &Value) -> bool {
    let profile = &context["seccompProfile"];
    !profile.is_null() && !is_confined(text(&profile["type"]))
}

pub(super) fn seccomp_baseline(pod: &Pod<'_>) -> Option<Violation> {
    let mut types = Values::new();
    let who = pod.bad_setters(|context| {
        let bad = is_bad_seccomp(context);
        if bad {
            types.insert(text(&context["seccompProfile"]["type"]));
        }
        bad
    })?;
    let what = quoted(types);
    Some(Violation::new("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {what}")))
}

pub(super) fn seccomp_restricted(pod: &Pod<'_>) -> Option<Violation> {
    if let Some(wrong) = seccomp_baseline(pod) {
        return Some(wrong);
    }
    if !pod.security_context()["seccompProfile"].is_null() {
        return None;
    }
    let bad = pod.bad(|container| container["securityContext"]["seccompProfile"].is_null());
    (!bad.is_empty()).then(|| {
        let who = named("container", &bad);
        let detail =
            format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
        Violation::new("seccompProfile", detail)
    })
}

/// Windows has no seccomp.
pub(super) fn seccomp_restricted_1_25(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() { None } else { seccomp_restricted(pod) }
}
