//! Coming from client-side apply: `kubectl apply --server-side` on an object that `kubectl apply` made.

use crate::{
    apply::Apply, compare::Comparison, error::Conflict, field_set::FieldSet, identity::Ignored, topology::Topology,
};
use serde_json::Value;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The annotation, with its slashes as a JSON pointer wants them.
const POINTER: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// The manager that both forms of apply have in kubectl.
const KUBECTL: &str = "kubectl";

/// The conflicts that are not with kubectl's own earlier self: what it applied from the client and nobody changed since
/// is its own.
pub(crate) fn without_own(
    schema: &dyn Topology,
    live: Option<&Value>,
    conflicts: Vec<Conflict>,
    request: &Apply<'_>,
) -> Vec<Conflict> {
    let own = match live.filter(|_| request.manager == KUBECTL).and_then(|live| applied_from_client(schema, live)) {
        Some(own) => own.paths(),
        None => return conflicts,
    };
    conflicts.into_iter().filter(|conflict| !own.contains(&conflict.path)).collect()
}

fn applied_from_client(schema: &dyn Topology, live: &Value) -> Option<FieldSet> {
    let text = live.pointer(POINTER)?.as_str()?;
    let mut applied: Value = serde_json::from_str(text).ok()?;
    schema.check(&mut applied).ok()?;
    let differs = Comparison::of(schema, Ignored { reset: &[] }, live, &applied);
    let fields = FieldSet::of(Some(schema), &applied);
    Some(fields.difference(&differs.modified).difference(&differs.added).difference(&differs.removed))
}

/// Keeps the annotation of an object that has one in step with what kubectl applies from now on.
pub(crate) fn sync(live: Option<&Value>, config: &Value, applied: &mut Value, request: &Apply<'_>) {
    if request.manager != KUBECTL || live.and_then(|live| live.pointer(POINTER)).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    if let Some(annotation) = applied.pointer_mut(POINTER) {
        *annotation = Value::String(format!("{config}\n"));
    }
}
