//! The v2 document as `gnostic`'s protobuf message `openapi.v2.Document`.
use serde_json::Value;
/// Encodes a v2 document.
pub fn v2_protobuf(_document: &Value) -> Vec<u8> {
    Vec::new()
}
