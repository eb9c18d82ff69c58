//! Documents, patches, and what comes of them; one case per documented behaviour.

mod maps;
mod merged_lists;
mod ordered_lists;
mod properties;
mod refusals;
mod scalar_lists;

use super::strategic_merge_patch;
use crate::PatchError;
use minato_schema::builtin;
use serde_json::Value;

type Kind = (&'static str, &'static str, &'static str);

const POD: Kind = ("", "v1", "Pod");
const SERVICE: Kind = ("", "v1", "Service");
const CONFIG_MAP: Kind = ("", "v1", "ConfigMap");
const NODE: Kind = ("", "v1", "Node");
const SERVICE_ACCOUNT: Kind = ("", "v1", "ServiceAccount");
const DEPLOYMENT: Kind = ("apps", "v1", "Deployment");
const REVISION: Kind = ("apps", "v1", "ControllerRevision");
const DISRUPTION_BUDGET: Kind = ("policy", "v1", "PodDisruptionBudget");

fn apply(kind: Kind, document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let schema = builtin(kind.0, kind.1, kind.2).expect("a built-in kind");
    let mut patched = document.clone();
    let result = strategic_merge_patch(&mut patched, patch.clone(), schema);
    if result.is_err() {
        assert_eq!(&patched, document, "a refused patch leaves no trace: {patch}");
    }
    result.map(|()| patched)
}

/// Applies `patch` under `spec` and compares `spec`.
#[track_caller]
fn check_spec(kind: Kind, document: Value, patch: Value, expected: Value) {
    use serde_json::json;
    check(kind, json!({"spec": document}), json!({"spec": patch}), json!({"spec": expected}));
}

#[track_caller]
fn check(kind: Kind, document: Value, patch: Value, expected: Value) {
    assert_eq!(apply(kind, &document, &patch), Ok(expected), "{document} + {patch}");
}
