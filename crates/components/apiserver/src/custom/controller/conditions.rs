//! The conditions of a definition.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::definition::{Definition, KindNames};
use super::super::names::Verdict;

/// A condition to be set.
pub(super) struct Condition {
    kind: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    pub(super) fn new(kind: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status, reason, message: message.into() }
    }

    fn status(&self) -> &'static str {
        if self.status { "True" } else { "False" }
    }
}

/// What is to be said of a definition whose names were judged.
pub(super) fn wanted(definition: &Definition, verdict: &Verdict) -> Vec<Condition> {
    let mut conditions = Vec::new();
    match &verdict.conflict {
        None => conditions.push(Condition::new("NamesAccepted", true, "NoConflicts", "no conflicts found")),
        Some((reason, message)) => conditions.push(Condition::new("NamesAccepted", false, reason, message.as_str())),
    }
    if !definition.has("Established") {
        conditions.push(match verdict.conflict {
            None => {
                let message = "the initial names have been accepted";
                Condition::new("Established", true, "InitialNamesAccepted", message)
            }
            Some(_) => Condition::new("Established", false, "NotAccepted", "not all names are accepted"),
        });
    }
    conditions.extend(approval(definition));
    conditions
}

/// Groups of Kubernetes itself want the consent of its maintainers.
fn approval(definition: &Definition) -> Option<Condition> {
    const KIND: &str = "KubernetesAPIApprovalPolicyConformant";
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let group = &definition.spec.group;
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    if !is_protected {
        return None;
    }
    Some(match definition.metadata.annotations.get(ANNOTATION).map_or("", String::as_str) {
        "" => {
            let message = format!(
                "protected groups must have approval annotation {ANNOTATION:?}, see https://github.com/kubernetes/enhancements/pull/1111"
            );
            Condition::new(KIND, false, "MissingAnnotation", message)
        }
        value if value.starts_with("unapproved") => {
            Condition::new(KIND, false, "UnapprovedAnnotation", format!("not approved: {value:?}"))
        }
        value if value.starts_with("http://") || value.starts_with("https://") => {
            Condition::new(KIND, true, "ApprovedAnnotation", format!("approved in {value}"))
        }
        _ => {
            let message = format!(
                "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            Condition::new(KIND, false, "InvalidAnnotation", message)
        }
    })
}

/// Whether a definition's status says all of this already.
pub(super) fn says(definition: &Definition, accepted: &KindNames, conditions: &[Condition]) -> bool {
    let status = &definition.status;
    let said = |wanted: &Condition| {
        status.conditions.iter().any(|have| {
            have.kind == wanted.kind
                && have.status == wanted.status()
                && have.reason == wanted.reason
                && have.message == wanted.message
        })
    };
    status.accepted_names == *accepted && conditions.iter().all(said)
}

/// Writes names and conditions into a definition's status.
pub(super) fn apply(definition: &mut Value, accepted: &KindNames, conditions: &[Condition]) {
    definition["status"]["acceptedNames"] = json!(accepted);
    for condition in conditions {
        set(definition, condition);
    }
}

/// Sets a condition; its time changes only if its status does.
pub(super) fn set(definition: &mut Value, condition: &Condition) {
    let status = condition.status();
    let all = &mut definition["status"]["conditions"];
    if !all.is_array() {
        *all = json!([]);
    }
    let Value::Array(all) = all else { return };
    let now = crate::object::time(Timestamp::now());
    match all.iter_mut().find(|found| found["type"] == condition.kind) {
        Some(found) => {
            if found["status"] != status {
                found["lastTransitionTime"] = now;
            }
            found["status"] = status.into();
            found["reason"] = condition.reason.into();
            found["message"] = condition.message.as_str().into();
        }
        None => all.push(json!({"type": condition.kind, "status": status, "lastTransitionTime": now,
            "reason": condition.reason, "message": condition.message})),
    }
}
