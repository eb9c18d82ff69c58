//! A stored [`Object`], the [`Event`] that made it so, and the [`Template`] it is written from.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Attributes, Key, Revision};

/// An object as it is stored: what GET and LIST send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it is stored.
    pub key: Key,
    /// The change that made this version.
    pub revision: Revision,
    /// The change that created the object. No two objects ever share it.
    pub created: Revision,
    /// Its JSON, `metadata.resourceVersion` included.
    pub value: Bytes,
    /// What selectors look at.
    pub attributes: Attributes,
}

/// JSON with a gap where the revision goes: it is known only at commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The JSON, with nothing where the revision's digits belong.
    pub bytes: Vec<u8>,
    /// Where the decimal digits of the revision are inserted; beyond the end counts as the end.
    pub revision_at: usize,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Created,
    /// It was replaced by a new version.
    Modified,
    /// It was removed.
    Deleted,
}

impl EventKind {
    /// The word of the watch protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn opening(self) -> &'static [u8] {
        match self {
            Self::Created => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

const CLOSING: &[u8] = b"}\n";

/// One change.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// When it happened.
    pub revision: Revision,
    /// The new version; of a deleted object the last state, with the deletion's revision inside and outside.
    pub object: Arc<Object>,
    /// The version before, unless the object was created.
    pub previous: Option<Arc<Object>>,
    frame: Bytes,
    /// The frame in another encoding, once somebody has asked for it.
    encoded: OnceLock<Option<Bytes>>,
}

impl Event {
    /// Splices `template` with `revision`. The object's value is a part of the frame, not a copy.
    pub(crate) fn build(
        kind: EventKind,
        revision: Revision,
        created: Revision,
        key: Key,
        template: &Template,
        attributes: Attributes,
        previous: Option<Arc<Object>>,
    ) -> Self {
        let digits = revision.to_string();
        let (before, after) = template.bytes.split_at(template.revision_at.min(template.bytes.len()));
        let opening = kind.opening();
        let length = before.len() + digits.len() + after.len();
        let mut frame = Vec::with_capacity(opening.len() + length + CLOSING.len());
        for part in [opening, before, digits.as_bytes(), after, CLOSING] {
            frame.extend_from_slice(part);
        }
        let frame = Bytes::from(frame);
        let value = frame.slice(opening.len()..opening.len() + length);
        let object = Arc::new(Object { key, revision, created, value, attributes });
        Self { kind, revision, object, previous, frame, encoded: OnceLock::new() }
    }

    /// The line that watchers are sent: `{"type":"ADDED","object":…}` and a line feed. Shared, never copied.
    pub fn frame(&self) -> Bytes {
        self.frame.clone()
    }

    /// What `encode` makes of the event, made once and shared like [`Event::frame`]: there is one other encoding.
    pub fn encoded(&self, encode: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        self.encoded.get_or_init(encode).clone()
    }

    /// The line for an object that is reported as `kind` for another reason than its own event: it is listed at the
    /// start of a watch, or began or ceased to match the watcher's selector.
    pub fn frame_as(kind: EventKind, object: &Object) -> Bytes {
        Bytes::from([kind.opening(), &object.value, CLOSING].concat())
    }

    /// What the log holds on to for this event, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const EVENT_BYTES: usize = 256;
        EVENT_BYTES + self.frame.len() + self.previous.as_ref().map_or(0, |previous| previous.value.len())
    }
}
