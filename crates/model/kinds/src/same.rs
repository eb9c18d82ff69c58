//! When two objects say the same.
//!
//! Go clients drop zero values of plain fields when they write an object back (`hostNetwork: false`, `labels: {}`), so for
//! the question "did this change?" such a value is the same as none. Fields that are pointers in Go are written even when
//! they are zero, and there zero is a choice of its own.

use serde_json::{Map, Value};

/// Scalar fields whose zero value differs from absence.
const POINTERS: &[&str] = &[
    "activeDeadlineSeconds",
    "allowPrivilegeEscalation",
    "allowVolumeExpansion",
    "automountServiceAccountToken",
    "backoffLimit",
    "blockOwnerDeletion",
    "completions",
    "controller",
    "defaultMode",
    "enableServiceLinks",
    "expirationSeconds",
    "failedJobsHistoryLimit",
    "fsGroup",
    "hostProcess",
    "hostUsers",
    "immutable",
    "minReplicas",
    "mode",
    "nodePort",
    "optional",
    "parallelism",
    "partition",
    "priority",
    "privileged",
    "progressDeadlineSeconds",
    "publishNotReadyAddresses",
    "readOnlyRootFilesystem",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "stabilizationWindowSeconds",
    "startingDeadlineSeconds",
    "storageClassName",
    "subdomain",
    "successfulJobsHistoryLimit",
    "suspend",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "ttlSecondsAfterFinished",
];

/// Whether two values, each absent perhaps, say the same.
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a.filter(|a| !a.is_null()), b.filter(|b| !b.is_null())) {
        (None, None) => true,
        (Some(a), Some(b)) => same_value(a, b),
        (Some(value), None) | (None, Some(value)) => is_empty(value),
    }
}

/// Whether two values say the same.
pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_map(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b)),
        // `1` and `"1"` are different ports, but `1Gi` and `1024Mi` the same amount only where they were parsed as such:
        // quantities are made canonical when defaults are filled in, so plain equality is enough here.
        _ => a == b,
    }
}

fn same_map(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.iter().all(|(name, value)| match b.get(name).filter(|other| !other.is_null()) {
        Some(other) => value.is_null() && is_zero(name, other) || same_value(value, other),
        None => is_zero(name, value),
    }) && b.iter().all(|(name, value)| a.get(name).is_some_and(|other| !other.is_null()) || is_zero(name, value))
}

/// Whether the value of the field `name` is as good as none.
fn is_zero(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(false) => POINTERS.binary_search(&name).is_err(),
        Value::Number(number) => number.as_i64() == Some(0) && POINTERS.binary_search(&name).is_err(),
        value => is_empty(value),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_zero(name, value)),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What differs, one line for each field: `-path: old`, `+path: new`.
pub(crate) fn difference(old: &Value, new: &Value, path: &str) -> String {
    let mut lines = String::new();
    describe(Some(old), Some(new), path, &mut lines);
    lines
}

fn describe(old: Option<&Value>, new: Option<&Value>, path: &str, lines: &mut String) {
    if same(old, new) {
        return;
    }
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(added) {
                describe(a.get(name), b.get(name), &format!("{path}.{name}"), lines);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                describe(a.get(index), b.get(index), &format!("{path}[{index}]"), lines);
            }
        }
        _ => {
            if let Some(old) = old {
                lines.push_str(&format!("-{path}: {old}\n"));
            }
            if let Some(new) = new {
                lines.push_str(&format!("+{path}: {new}\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn zero_is_absent_unless_it_is_a_choice() {
        assert!(POINTERS.is_sorted());
        for (a, b, expected) in [
            (json!({"hostNetwork": false}), json!({}), true),
            (json!({"automountServiceAccountToken": false}), json!({}), false),
            (json!({"labels": {}}), json!({}), true),
            (json!({"labels": null}), json!({"labels": {}}), true),
            (json!({"a": [{"b": ""}]}), json!({"a": [{}]}), true),
            (json!({"a": [1]}), json!({"a": [1, 2]}), false),
            (json!({"runAsUser": 0}), json!({}), false),
            (json!({"initialDelaySeconds": 0}), json!({}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({"securityContext": {"privileged": false}}), json!({}), false),
        ] {
            assert_eq!(same_value(&a, &b), expected, "{a} {b}");
            assert_eq!(same_value(&b, &a), expected, "{b} {a}");
        }
    }
}
