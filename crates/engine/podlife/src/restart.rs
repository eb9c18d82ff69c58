//! Whether a container that has ended runs again.

use k8s_openapi::api::core::v1::{Container, Pod};

/// The restart policy of a pod or container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever happened.
    Always,
    /// After a failure.
    OnFailure,
    /// Not at all.
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            Some("Always") => Some(Self::Always),
            Some("OnFailure") => Some(Self::OnFailure),
            Some("Never") => Some(Self::Never),
            _ => None,
        }
    }

    /// The pod's own policy, `Always` by default.
    pub fn of_pod(pod: &Pod) -> Self {
        Self::parse(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref())).unwrap_or(Self::Always)
    }

    /// Whether a container that ended with `exit_code` runs again.
    pub fn restarts(self, exit_code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// A sidecar: an init container that keeps running beside the main containers.
pub fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

/// Whether an ended container runs again: its own rules (KEP-5307) come first, then its own policy, then the pod's.
/// Init containers that are no sidecars run again only after a failure.
pub fn restarts(pod: &Pod, container: &Container, init: bool, exit_code: i32) -> bool {
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let matches = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if matches && rule.action == "Restart" {
            return true;
        }
    }
    let policy =
        RestartPolicy::parse(container.restart_policy.as_deref()).unwrap_or_else(|| RestartPolicy::of_pod(pod));
    if init && !is_sidecar(container) {
        return exit_code != 0 && policy != RestartPolicy::Never;
    }
    policy.restarts(exit_code)
}
