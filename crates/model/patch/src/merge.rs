//! JSON merge patch, RFC 7386.

use crate::error::{PatchError, type_name};
use serde_json::Value;

/// Lays `patch` over `document`: objects merge, `null` removes, anything else replaces. The patch of a Kubernetes
/// object is itself an object.
pub fn merge_patch(document: &mut Value, patch: Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Shape { found: type_name(&patch), wanted: "map[string]interface {}" });
    }
    json_patch::merge(document, &patch);
    Ok(())
}

#[cfg(test)]
mod tests;
