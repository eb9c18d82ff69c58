//! The frames of a watch stream (`application/vnd.kubernetes.protobuf;stream=watch`).

use crate::wire::Writer;

/// One event: its length in four bytes, the largest first, and a `WatchEvent` that holds the body of an object.
#[must_use]
pub fn watch_frame(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut extension = Writer::default();
    extension.bytes(1, body);
    let mut event = Writer::default();
    event.bytes(1, kind.as_bytes());
    event.bytes(2, &extension.into_bytes());
    let event = event.into_bytes();
    // No object comes near to four gigabytes: requests are bounded.
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &event].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_length_and_an_event() {
        let frame = watch_frame("ADDED", b"k8s\0");
        assert_eq!(frame[..4], 15u32.to_be_bytes());
        assert_eq!(&frame[4..], b"\x0a\x05ADDED\x12\x06\x0a\x04k8s\0");
        assert_eq!(frame.len(), 4 + 15);
    }
}
