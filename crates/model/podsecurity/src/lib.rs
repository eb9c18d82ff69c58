//! The Pod Security Standards: which pods are `privileged`, `baseline` and `restricted`, version by version.
//!
//! A namespace chooses by labels ([`Policy::of_labels`]) what is enforced, what is warned of and what is audited; a
//! choice is a level and a version of the standard. [`evaluate`] says what a pod violates, in upstream's words
//! (`k8s.io/pod-security-admission`), which users and tests know. [`CHECKS`] is the whole standard: each check with the
//! versions since which it is as it is.
//!
//! Pods are [`serde_json::Value`]s of the right shape, with their defaults; everything here is a plain function.

mod checks;
mod existing;
mod pod;
mod policy;
mod significant;

pub use checks::{CHECKS, Check, is_safe_sysctl};
pub use existing::{PODS_MAX, warnings_about_existing};
pub use pod::{Violation, pod_of, summary};
pub use policy::{LabelError, Level, LevelVersion, Policy, Version};
pub use significant::is_significant_update;

use pod::Pod;
use serde_json::Value;

/// The newest minor version of the standard.
pub const NEWEST_MINOR: u32 = 36;

/// What in a pod of this `metadata` and `spec` violates the standard, checks of baseline first.
pub fn evaluate(standard: LevelVersion, metadata: &Value, spec: &Value) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let minor = match standard.version {
        Version::Minor(minor) => minor.min(NEWEST_MINOR),
        Version::Latest => NEWEST_MINOR,
    };
    let pod = Pod { metadata, spec };
    let applies = |check: &&Check| check.level <= standard.level && check.at(minor).is_some();
    let replaced = |check: &Check| {
        CHECKS.iter().filter(applies).any(|other| other.replaces == Some(check.id) && other.level == standard.level)
    };
    CHECKS
        .iter()
        .filter(applies)
        .filter(|check| !replaced(check))
        .filter_map(|check| check.at(minor).and_then(|run| run(&pod)))
        .collect()
}

#[cfg(test)]
mod tests;
