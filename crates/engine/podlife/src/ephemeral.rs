//! Containers that somebody adds to a running pod, to look into it (`kubectl debug`).
//!
//! They are started once, whatever the init containers are at, and never again; the pod's phase and readiness do not
//! depend on them, and they end with the pod.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

/// A pod's ephemeral containers in the form of the others, with the restart policy `Never`.
pub fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    specs(pod).map(as_container).collect()
}

/// The container whose processes an ephemeral container wants to see.
pub fn target<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let found = specs(pod).find(|container| container.name == name)?;
    found.target_container_name.as_deref().filter(|target| !target.is_empty())
}

fn specs(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}

fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let ephemeral = ephemeral.clone();
    Container {
        name: ephemeral.name,
        image: ephemeral.image,
        image_pull_policy: ephemeral.image_pull_policy,
        command: ephemeral.command,
        args: ephemeral.args,
        working_dir: ephemeral.working_dir,
        env: ephemeral.env,
        env_from: ephemeral.env_from,
        volume_mounts: ephemeral.volume_mounts,
        volume_devices: ephemeral.volume_devices,
        security_context: ephemeral.security_context,
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        tty: ephemeral.tty,
        termination_message_path: ephemeral.termination_message_path,
        termination_message_policy: ephemeral.termination_message_policy,
        restart_policy: Some("Never".to_owned()),
        ..Container::default()
    }
}
