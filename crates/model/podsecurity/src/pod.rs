//! A pod as the checks see it, and how violations are told.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a pod does that its namespace's standard does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is not allowed, such as `hostPort`.
    pub reason: String,
    /// Who does it, such as `container "a" uses hostPort 80`; may be empty.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}

/// All violations in one line: `privileged (container "a" must …), hostPort (…)`.
pub fn summary(violations: &[Violation]) -> String {
    let told = violations.iter().map(|violation| {
        if violation.detail.is_empty() {
            violation.reason.clone()
        } else {
            format!("{} ({})", violation.reason, violation.detail)
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The pod that an object is, or makes: its metadata and spec. `storage` names the kind, as in `apps/deployments`.
pub fn pod_of<'a>(storage: &str, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let template = match storage {
        "core/pods" => object,
        "core/podtemplates" => &object["template"],
        "core/replicationcontrollers"
        | "apps/replicasets"
        | "apps/deployments"
        | "apps/statefulsets"
        | "apps/daemonsets"
        | "batch/jobs" => &object["spec"]["template"],
        "batch/cronjobs" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    };
    if template.is_null() { None } else { Some((&template["metadata"], &template["spec"])) }
}

pub(crate) struct Pod<'a> {
    pub(crate) metadata: &'a Value,
    pub(crate) spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Every container: of initialisation, of the pod, for debugging.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| items(&spec[list]))
    }

    pub(crate) fn security_context(&self) -> &'a Value {
        &self.spec["securityContext"]
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.metadata["annotations"][key].as_str()
    }

    pub(crate) fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Whether root in the pod is nobody on the node.
    pub(crate) fn has_own_users(&self) -> bool {
        self.spec["hostUsers"] == false
    }

    /// Names of the containers for which `is_bad`.
    pub(crate) fn bad(&self, mut is_bad: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| is_bad(container)).map(|container| text(&container["name"])).collect()
    }

    /// Who sets something wrong, told as `pod and containers "a", "b"`; `None` where nobody does.
    pub(crate) fn bad_setters(&self, mut is_bad: impl FnMut(&'a Value) -> bool) -> Option<String> {
        let pod = is_bad(self.security_context()).then(|| "pod".to_owned());
        let containers = self.bad(|container| is_bad(&container["securityContext"]));
        let containers = (!containers.is_empty()).then(|| named("container", &containers));
        let setters: Vec<String> = pod.into_iter().chain(containers).collect();
        if setters.is_empty() { None } else { Some(setters.join(" and ")) }
    }
}

pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `one` of one, `many` of more.
pub(crate) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
pub(crate) fn named(noun: &str, names: &[&str]) -> String {
    format!("{noun}{} {}", if names.len() == 1 { "" } else { "s" }, quoted(names.iter().copied()))
}

/// `"a", "b"`.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    format!("\"{}\"", names.into_iter().collect::<Vec<_>>().join("\", \""))
}

/// Every value once, in order.
pub(crate) type Values<'a> = BTreeSet<&'a str>;
