//! How deeply documents nest. Everything that walks a document recurses, so patches must not build towers.

use serde_json::Value;

/// The deepest nesting of a document, the same as the parser's.
pub(crate) const DEPTH_MAX: usize = 128;

/// Levels of arrays and objects below and with this value; measured without recursion.
pub(crate) fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(value, 1)];
    while let Some((value, level)) = pending.pop() {
        match value {
            Value::Array(items) => {
                deepest = deepest.max(level);
                pending.extend(items.iter().map(|item| (item, level + 1)));
            }
            Value::Object(fields) => {
                deepest = deepest.max(level);
                pending.extend(fields.values().map(|field| (field, level + 1)));
            }
            _ => {}
        }
    }
    deepest
}
