//! JSON patch, RFC 6902, with the limits an API server needs.

use crate::{
    depth::{DEPTH_MAX, depth},
    error::{PatchError, type_name},
};
use json_patch::{PatchErrorKind, PatchOperation, jsonptr::Pointer};
use minato_schema::parse_json;
use serde_json::Value;

/// Operations in one patch; Kubernetes has the same limit.
pub const OPERATIONS_MAX: usize = 10_000;

/// Bytes that the copy operations of one patch may add; Kubernetes' limit is the size of a request.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Estimated depth at which the document's true depth is looked up.
const DEPTH_CHECKED: usize = 2 * DEPTH_MAX;

/// How often one patch may make us look it up.
const DEPTH_CHECKS_MAX: usize = 16;

/// Applies the operations of `patch`, all or none.
pub fn json_patch(document: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let operations = decode(patch)?;
    let mut patched = document.clone();
    let mut bounds = Bounds::of(&patched);
    for operation in &operations {
        bounds.admit(operation, &patched)?;
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation))
            .map_err(|error| explain(operation, &error.kind))?;
    }
    bounds.settle(&patched)?;
    *document = patched;
    Ok(())
}

fn decode(patch: &[u8]) -> Result<Vec<PatchOperation>, PatchError> {
    let operations = match parse_json(patch)?.0 {
        Value::Array(operations) => operations,
        other => return Err(PatchError::Shape { found: type_name(&other), wanted: "jsonpatch.Patch" }),
    };
    if let Some(other) = operations.iter().find(|operation| !operation.is_object()) {
        return Err(PatchError::Shape { found: type_name(other), wanted: "jsonpatch.Operation" });
    }
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::TooManyOperations { found: operations.len() });
    }
    let decoded = operations.into_iter().enumerate().map(|(index, operation)| {
        serde_json::from_value(operation).map_err(|error| PatchError::Operation { index, reason: error.to_string() })
    });
    decoded.collect()
}

/// Keeps the document from growing without bounds in size or depth while a patch is applied.
struct Bounds {
    copied_bytes: usize,
    /// At least the document's depth.
    depth: usize,
    depth_checks: usize,
}

impl Bounds {
    fn of(document: &Value) -> Bounds {
        Bounds { copied_bytes: 0, depth: depth(document), depth_checks: 0 }
    }

    fn admit(&mut self, operation: &PatchOperation, document: &Value) -> Result<(), PatchError> {
        if let PatchOperation::Copy(copy) = operation {
            self.copied_bytes += copy.from.resolve(document).map_or(0, size_bytes);
            if self.copied_bytes > COPIED_BYTES_MAX {
                return Err(PatchError::CopyTooLarge { size: self.copied_bytes, limit: COPIED_BYTES_MAX });
            }
        }
        if self.reached_by(operation) > DEPTH_CHECKED {
            self.depth_checks += 1;
            if self.depth_checks > DEPTH_CHECKS_MAX {
                return Err(PatchError::Depth);
            }
            self.depth = depth(document);
        }
        self.depth = self.depth.max(self.reached_by(operation));
        if self.depth > DEPTH_CHECKED { Err(PatchError::Depth) } else { Ok(()) }
    }

    /// At least the depth of what the operation puts in place.
    fn reached_by(&self, operation: &PatchOperation) -> usize {
        match operation {
            PatchOperation::Add(add) => levels(&add.path) + depth(&add.value),
            PatchOperation::Replace(replace) => levels(&replace.path) + depth(&replace.value),
            PatchOperation::Move(moved) => levels(&moved.path) + self.depth.saturating_sub(levels(&moved.from)),
            PatchOperation::Copy(copy) => levels(&copy.path) + self.depth.saturating_sub(levels(&copy.from)),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
        }
    }

    /// Looks the depth up if it may be too great.
    fn settle(&mut self, document: &Value) -> Result<(), PatchError> {
        if self.depth > DEPTH_MAX {
            self.depth = depth(document);
        }
        if self.depth > DEPTH_MAX { Err(PatchError::Depth) } else { Ok(()) }
    }
}

fn levels(pointer: &Pointer) -> usize {
    pointer.tokens().count()
}

/// About the size of a value as JSON.
fn size_bytes(value: &Value) -> usize {
    let mut size = 0;
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        size += 4;
        match value {
            Value::String(text) => size += text.len(),
            Value::Array(items) => pending.extend(items),
            Value::Object(fields) => {
                size += fields.keys().map(|key| key.len() + 3).sum::<usize>();
                pending.extend(fields.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    size
}

fn explain(operation: &PatchOperation, kind: &PatchErrorKind) -> PatchError {
    let path = operation.path().as_str().to_owned();
    let (name, from) = match operation {
        PatchOperation::Add(_) => ("add", None),
        PatchOperation::Remove(_) => ("remove", None),
        PatchOperation::Replace(_) => ("replace", None),
        PatchOperation::Move(moved) => ("move", Some(&moved.from)),
        PatchOperation::Copy(copy) => ("copy", Some(&copy.from)),
        PatchOperation::Test(_) => ("test", None),
    };
    match kind {
        PatchErrorKind::TestFailed => PatchError::TestFailed { path },
        PatchErrorKind::CannotMoveInsideItself => PatchError::MoveInsideItself { path },
        PatchErrorKind::InvalidFromPointer => {
            PatchError::MissingPath { operation: name, path: from.map_or(path, |from| from.as_str().to_owned()) }
        }
        _ => PatchError::MissingPath { operation: name, path },
    }
}

#[cfg(test)]
mod tests;
