//! Why a patch is refused, and with which status.

use minato_schema::ParseError;
use serde_json::Value;

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not JSON.
    #[error("error decoding patch: {0}")]
    Decode(#[from] ParseError),
    /// The patch is JSON, but not of the right type.
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Shape {
        /// `array`, `string`, …
        found: &'static str,
        /// The Go type that Kubernetes decodes into.
        wanted: &'static str,
    },
    /// More operations than [`OPERATIONS_MAX`](crate::OPERATIONS_MAX).
    #[error("The allowed maximum operations in a JSON patch is {}, got {found}", crate::OPERATIONS_MAX)]
    TooManyOperations {
        /// Operations in the patch.
        found: usize,
    },
    /// Copy operations would blow the document up.
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {size}, exceeding the limit {limit}"
    )]
    CopyTooLarge {
        /// Bytes copied so far.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The patched document would be nested too deeply.
    #[error("exceeded max depth")]
    Depth,
    /// An entry of the list is not one of the six operations, or lacks what it needs.
    #[error("invalid operation {index}: {reason}")]
    Operation {
        /// Position in the patch, from zero.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An operation points nowhere in the document.
    #[error("{operation} operation does not apply: doc is missing path: {path:?}: missing value")]
    MissingPath {
        /// `add`, `remove`, …
        operation: &'static str,
        /// The JSON pointer.
        path: String,
    },
    /// A move into the moved value itself.
    #[error("move operation does not apply: {path:?} is inside the value to move")]
    MoveInsideItself {
        /// The JSON pointer.
        path: String,
    },
    /// A `test` operation found something else.
    #[error("testing value {path} failed: test failed")]
    TestFailed {
        /// The JSON pointer.
        path: String,
    },
    /// A directive that is none, or stands where it cannot.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The value of `$patch`.
        directive: Value,
        /// The object around it.
        map: Value,
    },
    /// `$patch: merge` as an item of a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirectiveInList,
    /// An item of a merged list does not carry the list's key.
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        map: Value,
        /// The key it lacks.
        key: String,
    },
    /// A list of objects is to be merged, but nothing tells its items apart.
    #[error("cannot merge lists without merge key for {0}")]
    ListWithoutMergeKey(String),
    /// Items of a merged list differ in type.
    #[error("list element types are not identical: {0}")]
    MixedItems(Value),
    /// A list in a merged list.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// A value has another type than the directive needs.
    #[error("expected a {wanted}, but received a {found}")]
    Argument {
        /// What the directive needs.
        wanted: &'static str,
        /// What it found.
        found: &'static str,
    },
    /// `$deleteFromPrimitiveList` is malformed.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    /// `$retainKeys` is malformed, or lacks a key that the patch sets.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` is malformed.
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrder,
    /// The list of a patch has an order, or items, that its `$setElementOrder` has not.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The patch's list.
        patch: Value,
        /// Its `$setElementOrder`.
        order: Value,
    },
}

impl PatchError {
    /// The HTTP status of the answer: 400 for what is no patch, 413 for one that is too large, 422 for one that does
    /// not apply. A Go API server's 422 carries this error's text as a cause below a general message.
    pub fn code(&self) -> u16 {
        match self {
            PatchError::Decode(_)
            | PatchError::Shape { .. }
            | PatchError::PrimitiveList
            | PatchError::RetainKeys
            | PatchError::SetElementOrder => 400,
            PatchError::TooManyOperations { .. } | PatchError::CopyTooLarge { .. } => 413,
            PatchError::Depth
            | PatchError::Operation { .. }
            | PatchError::MissingPath { .. }
            | PatchError::MoveInsideItself { .. }
            | PatchError::TestFailed { .. }
            | PatchError::UnknownDirective { .. }
            | PatchError::MergeDirectiveInList
            | PatchError::NoMergeKey { .. }
            | PatchError::ListWithoutMergeKey(_)
            | PatchError::MixedItems(_)
            | PatchError::ListOfLists
            | PatchError::Argument { .. }
            | PatchError::OrderMismatch { .. } => 422,
        }
    }
}

/// The JSON type of a value, as error texts name it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
