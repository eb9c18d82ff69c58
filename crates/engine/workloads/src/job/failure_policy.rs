//! `spec.podFailurePolicy`: what the failure of a pod means.

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

/// What a failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It counts towards the limits. So does every failure that no rule speaks of.
    Count,
    /// The pod is replaced, nothing is counted.
    Ignore,
    /// The pod's index has failed, whatever its limit.
    FailIndex,
    /// The whole Job has failed, with this message.
    FailJob(String),
}

/// The first rule that matches the failed pod decides.
pub(super) fn meaning(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Meaning {
    let rules = policy.map(|policy| &policy.rules[..]).unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    for (position, rule) in rules.iter().enumerate() {
        let (namespace, name) =
            (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default());
        let action = rule.action.as_str();
        let matched = if let Some(codes) = &rule.on_exit_codes {
            exit_code(&status, codes).map(|(container, code)| {
                format!("Container {container} for pod {namespace}/{name} failed with exit code {code} matching {action} rule at index {position}")
            })
        } else {
            condition(&status, rule.on_pod_conditions.as_deref().unwrap_or_default()).map(|condition| {
                format!("Pod {namespace}/{name} has condition {condition} matching {action} rule at index {position}")
            })
        };
        if let Some(message) = matched {
            return match action {
                "Ignore" => Meaning::Ignore,
                "FailIndex" => Meaning::FailIndex,
                "FailJob" => Meaning::FailJob(message),
                _ => Meaning::Count,
            };
        }
    }
    Meaning::Count
}

/// The container, and its code, that the requirement speaks of.
fn exit_code<'a>(
    status: &'a PodStatus,
    requirement: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a str, i32)> {
    let matching = |container: &'a ContainerStatus| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = requirement.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = requirement.values.contains(&code);
        let matches = match requirement.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (code != 0 && named && matches).then_some((container.name.as_str(), code))
    };
    let containers = status.container_statuses.iter().flatten();
    containers.chain(status.init_container_statuses.iter().flatten()).find_map(matching)
}

/// The type of the condition that one of the patterns speaks of.
fn condition<'a>(status: &'a PodStatus, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Option<&'a str> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|condition| {
        patterns.iter().any(|pattern| {
            pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    })?;
    Some(&found.type_)
}
