//! Which updates of a pod are looked at again.

use serde_json::Value;

use crate::pod::{items, text};

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Whether an update of a pod changes anything that a check looks at: images, containers, seccomp annotations. So that
/// a pod older than its namespace's policy can still be labelled, or lose its finalizers.
pub fn is_significant_update(new: &Value, old: &Value) -> bool {
    let differs = |key: &str| annotation(new, key) != annotation(old, key);
    if differs(SECCOMP) {
        return true;
    }
    let changed = |new: &Value, old: &Value| {
        new["image"] != old["image"] || differs(&format!("{SECCOMP_CONTAINER}{}", text(&new["name"])))
    };
    for list in ["containers", "initContainers"] {
        let (new, old) = (&new["spec"][list], &old["spec"][list]);
        if items(new).count() != items(old).count() || items(new).zip(items(old)).any(|(new, old)| changed(new, old)) {
            return true;
        }
    }
    items(&new["spec"]["ephemeralContainers"]).any(|container| {
        let old = items(&old["spec"]["ephemeralContainers"]).find(|old| old["name"] == container["name"]);
        old.is_none_or(|old| changed(container, old))
    })
}

fn annotation<'a>(pod: &'a Value, key: &str) -> &'a str {
    text(&pod["metadata"]["annotations"][key])
}
