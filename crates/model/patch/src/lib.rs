//! The three patches of the Kubernetes API, as pure functions over JSON values.
//!
//! - [`json_patch`]: RFC 6902, a list of operations;
//! - [`merge_patch`]: RFC 7386, an object laid over another;
//! - [`strategic_merge_patch`]: Kubernetes' own, which merges lists by key and knows directives (`$patch`,
//!   `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`).
//!
//! A refused patch leaves its document as it was. [`PatchError::code`] gives the HTTP status that an API server
//! answers with; the error's text is Kubernetes' own wherever Kubernetes has one.

mod depth;
mod error;
mod json;
mod merge;
mod strategic;

pub use error::PatchError;
pub use json::{OPERATIONS_MAX, json_patch};
pub use merge::merge_patch;
pub use strategic::strategic_merge_patch;

#[cfg(test)]
mod tests {
    //! What the property tests of all three patches share.

    use proptest::prelude::*;
    use serde_json::Value;

    /// Any JSON, with few enough names that documents and patches meet.
    pub(crate) fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4_i64).prop_map(Value::from),
            "[a-c]".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }
}
