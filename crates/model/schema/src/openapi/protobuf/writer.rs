//! The protobuf wire format, as far as `gnostic`'s messages need it. Default values are left out, as proto3 does.

use serde_json::Value;

/// A message in the making.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn text(&mut self, number: u32, value: &Value) {
        if let Some(text) = value.as_str() {
            self.delimited(number, text.as_bytes());
        }
    }

    pub(super) fn flag(&mut self, number: u32, value: &Value) {
        if value == &Value::Bool(true) {
            self.key(number, VARINT);
            self.varint(1);
        }
    }

    pub(super) fn integer(&mut self, number: u32, value: &Value) {
        if let Some(value) = value.as_i64() {
            self.key(number, VARINT);
            self.varint(value.cast_unsigned());
        }
    }

    pub(super) fn double(&mut self, number: u32, value: &Value) {
        if let Some(value) = value.as_f64() {
            self.key(number, FIXED64);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    /// A field that is a message.
    pub(super) fn message(&mut self, number: u32, fill: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        fill(&mut inner);
        self.delimited(number, &inner.bytes);
    }

    /// A field that is one of gnostic's `Named…` pairs.
    pub(super) fn named(&mut self, number: u32, name: &str, fill: impl FnOnce(&mut Writer)) {
        self.message(number, |pair| {
            pair.delimited(1, name.as_bytes());
            pair.message(2, fill);
        });
    }

    /// The content of gnostic's `Any`.
    pub(super) fn yaml(&mut self, value: &Value) {
        self.delimited(2, value.to_string().as_bytes());
    }

    /// A field that is bytes, or a message that is encoded already.
    pub(super) fn delimited(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, DELIMITED);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn key(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
