//! From a container in a pod's specification to what the runtime is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SecurityContext, VolumeMount};
use minato_podlife::cgroup::{self, CPU_PERIOD_MICROS};
use minato_podlife::expand::expand;
use minato_runtime::{ContainerConfig, ContainerId, Mount, Propagation, Resources, Seccomp, Security};

use crate::host_files::HostFiles;
use crate::volumes::{MountedVolumes, SubPathError, sub_path};

/// Why a container cannot be described to the runtime.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("volume \"{0}\" is not set up")]
    Volume(String),
    #[error(transparent)]
    SubPath(#[from] SubPathError),
    #[error("seccomp profiles of type Localhost are not supported on this node")]
    LocalSeccomp,
    #[error("missing value for {}", .0.join(", "))]
    MissingValue(Vec<String>),
}

/// All that a container's configuration is made of.
pub(crate) struct Ingredients<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) attempt: u32,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) volumes: &'a MountedVolumes,
    pub(crate) files: &'a HostFiles,
    pub(crate) termination_file: PathBuf,
    pub(crate) processes_of: Option<ContainerId>,
    pub(crate) memory_capacity_bytes: i64,
}

/// The log of one attempt, relative to the pod's log directory.
pub(crate) fn log_path(container: &str, attempt: u32) -> PathBuf {
    Path::new(container).join(format!("{attempt}.log"))
}

/// `<namespace>_<name>_<uid>`: a pod's log directory.
pub(crate) fn log_directory_name(pod: &Pod) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let metadata = &pod.metadata;
    format!("{}_{}_{}", text(&metadata.namespace), text(&metadata.name), text(&metadata.uid))
}

/// Describes the container. Makes sub-path directories, therefore blocks.
pub(crate) fn configure(ingredients: Ingredients<'_>) -> Result<ContainerConfig, ConfigError> {
    let Ingredients { pod, container, .. } = ingredients;
    let variables: BTreeMap<&str, &str> =
        ingredients.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expanded = |words: &Option<Vec<String>>| {
        let words = words.iter().flatten();
        words.map(|word| expand(word, |name| variables.get(name).copied())).collect::<Vec<String>>()
    };
    let mounts = mounts(&ingredients, &variables)?;
    let pod_security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt: ingredients.attempt,
        image: container.image.clone().unwrap_or_default(),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts,
        resources: resources(pod, container, ingredients.memory_capacity_bytes),
        security: security(pod_security, container.security_context.as_ref())?,
        log_path: log_path(&container.name, ingredients.attempt),
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        stop_signal: container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.clone()),
        processes_of: ingredients.processes_of.clone(),
        labels: BTreeMap::new(),
        env: ingredients.env,
        ..ContainerConfig::default()
    })
}

/// The container's limits.
pub(crate) fn resources(pod: &Pod, container: &Container, memory_capacity_bytes: i64) -> Resources {
    let numbers = cgroup::numbers(pod, container, memory_capacity_bytes);
    Resources {
        cpu_shares: Some(numbers.cpu_shares),
        cpu_quota: numbers.cpu_quota_micros,
        cpu_period: numbers.cpu_quota_micros.map(|_| CPU_PERIOD_MICROS),
        memory_limit_bytes: numbers.memory_limit_bytes,
        oom_score_adj: Some(numbers.oom_score_adj),
        ..Resources::default()
    }
}

fn mounts(ingredients: &Ingredients<'_>, variables: &BTreeMap<&str, &str>) -> Result<Vec<Mount>, ConfigError> {
    let Ingredients { container, files, .. } = ingredients;
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = ingredients.volumes.get(&mount.name).ok_or_else(|| ConfigError::Volume(mount.name.clone()))?;
        let part = match (mount.sub_path.as_deref(), mount.sub_path_expr.as_deref()) {
            (Some(part), _) if !part.is_empty() => part.to_owned(),
            (_, Some(part)) => expand_whole(part, variables)?,
            _ => String::new(),
        };
        let host_path = if part.is_empty() { volume.path.clone() } else { sub_path(&volume.path, &part)? };
        mounts.push(Mount {
            host_path,
            container_path: absolute(&mount.mount_path),
            read_only: volume.read_only || mount.read_only == Some(true),
            propagation: propagation(mount),
        });
    }
    let read_only_root =
        container.security_context.as_ref().and_then(|security| security.read_only_root_filesystem) == Some(true);
    let termination = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    for (host_path, path, read_only) in [
        (&files.hosts, "/etc/hosts", read_only_root),
        (&files.resolv, "/etc/resolv.conf", read_only_root),
        (&files.hostname, "/etc/hostname", read_only_root),
        (&ingredients.termination_file, termination, false),
    ] {
        // The pod's own mount at the same place wins.
        if path.is_empty() || mounts.iter().any(|mount| mount.container_path == Path::new(path)) {
            continue;
        }
        mounts.push(Mount {
            host_path: host_path.clone(),
            container_path: PathBuf::from(path),
            read_only,
            propagation: Propagation::None,
        });
    }
    Ok(mounts)
}

/// A path in which no variable may be missing or empty, or it would be another.
fn expand_whole(path: &str, variables: &BTreeMap<&str, &str>) -> Result<String, ConfigError> {
    let missing = std::cell::RefCell::new(BTreeSet::new());
    let expanded = expand(path, |name| {
        let value = variables.get(name).copied().filter(|value| !value.is_empty());
        if value.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing = missing.into_inner();
    if missing.is_empty() { Ok(expanded) } else { Err(ConfigError::MissingValue(missing.into_iter().collect())) }
}

fn absolute(path: &str) -> PathBuf {
    if path.starts_with('/') { PathBuf::from(path) } else { Path::new("/").join(path) }
}

fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::None,
    }
}

/// The container's security context over the pod's.
fn security(pod: Option<&PodSecurityContext>, container: Option<&SecurityContext>) -> Result<Security, ConfigError> {
    let number = |value: i64| u32::try_from(value).ok();
    let user = container.and_then(|own| own.run_as_user).or(pod.and_then(|pod| pod.run_as_user));
    let group = container.and_then(|own| own.run_as_group).or(pod.and_then(|pod| pod.run_as_group));
    let non_root = container.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root));
    let mut supplemental: Vec<u32> = pod
        .and_then(|pod| pod.supplemental_groups.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|id| number(*id))
        .collect();
    supplemental.extend(pod.and_then(|pod| pod.fs_group).and_then(number));
    let capabilities = container.and_then(|own| own.capabilities.as_ref());
    let privileged = container.and_then(|own| own.privileged) == Some(true);
    let profile =
        container.and_then(|own| own.seccomp_profile.as_ref()).or(pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    let seccomp = match profile.map(|profile| profile.type_.as_str()) {
        _ if privileged => Seccomp::Unconfined,
        Some("RuntimeDefault") => Seccomp::RuntimeDefault,
        Some("Localhost") => return Err(ConfigError::LocalSeccomp),
        _ => Seccomp::Unconfined,
    };
    Ok(Security {
        run_as_user: user.and_then(number),
        run_as_group: group.and_then(number),
        supplemental_groups: supplemental,
        run_as_non_root: non_root == Some(true),
        privileged,
        read_only_rootfs: container.and_then(|own| own.read_only_root_filesystem) == Some(true),
        add_capabilities: capabilities.and_then(|list| list.add.clone()).unwrap_or_default(),
        drop_capabilities: capabilities.and_then(|list| list.drop.clone()).unwrap_or_default(),
        no_new_privileges: container.and_then(|own| own.allow_privilege_escalation) == Some(false),
        seccomp,
        unmasked_proc: container.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_wins_over_the_pod() {
        let pod: PodSecurityContext = serde_json::from_value(json!({
            "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4], "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        }))
        .unwrap();
        let own: SecurityContext = serde_json::from_value(json!({
            "runAsUser": 9, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        }))
        .unwrap();
        let security = security(Some(&pod), Some(&own)).unwrap();
        assert_eq!((security.run_as_user, security.run_as_group), (Some(9), Some(2)));
        assert_eq!(security.supplemental_groups, [4, 3]);
        assert!(security.run_as_non_root && security.no_new_privileges && !security.privileged);
        assert_eq!(security.seccomp, Seccomp::RuntimeDefault);
        assert_eq!(security.drop_capabilities, ["ALL"]);
    }
}
