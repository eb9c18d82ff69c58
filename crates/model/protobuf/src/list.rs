//! Lists: every kind has one, and all have the same shape.

use serde_json::Value;

use crate::encode::{EncodeError, encode_by_name, envelope, message_bytes};
use crate::messages::Message;
use crate::wire::Writer;

/// The message of a list of objects of `item`.
pub(crate) fn item_kind(kind: &str) -> Option<&str> {
    kind.strip_suffix("List").filter(|item| !item.is_empty())
}

/// A list in the making: its items are added one by one, already encoded.
#[derive(Default)]
pub struct List {
    items: Writer,
}

impl List {
    /// A list without items.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `object` of a kind of `api_version`.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn push(&mut self, api_version: &str, kind: &str, object: &Value) -> Result<(), EncodeError> {
        self.items.bytes(2, &message_bytes(api_version, kind, object)?);
        Ok(())
    }

    pub(crate) fn push_message(&mut self, message: &Message, object: &Value) -> Result<(), EncodeError> {
        self.items.bytes(2, &crate::encode::of_message(message, object)?);
        Ok(())
    }

    /// The body of the list: `PodList` in `v1`, with its `metadata`.
    #[must_use]
    pub fn finish(self, api_version: &str, kind: &str, metadata: &Value) -> Vec<u8> {
        let mut raw = Writer::default();
        raw.bytes(1, &encode_by_name("meta.v1.ListMeta", metadata).unwrap_or_default());
        envelope(api_version, kind, &[&raw.into_bytes(), &self.items.into_bytes()])
    }
}
