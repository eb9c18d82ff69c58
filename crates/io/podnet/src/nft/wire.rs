//! Netlink messages as bytes: headers, attributes, nesting; and back.

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Length of `struct nfgenmsg`, which every netfilter message starts with.
pub(crate) const FAMILY_HEADER: usize = 4;
/// `NFPROTO_IPV4`.
pub(crate) const IPV4: u8 = 2;
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const DUMP: u16 = 0x300;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;

/// What a message's header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Address family and resource id of `struct nfgenmsg`.
    pub(crate) family: u8,
    pub(crate) resource: u16,
}

/// Messages under construction.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: Vec<u8>,
}

impl Wire {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn message(&mut self, header: Header, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&header.kind.to_ne_bytes());
        self.bytes.extend_from_slice(&header.flags.to_ne_bytes());
        self.bytes.extend_from_slice(&header.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[header.family, 0]);
        self.bytes.extend_from_slice(&header.resource.to_be_bytes());
        body(self);
        // A message is at most one chunk of elements, far below 4 GiB.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, attribute: u16, value: &[u8]) {
        self.attribute(attribute, |wire| wire.bytes.extend_from_slice(value));
    }

    /// Bytes that have their headers already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, attribute: u16, value: &str) {
        self.attribute(attribute, |wire| {
            wire.bytes.extend_from_slice(value.as_bytes());
            wire.bytes.push(0);
        });
    }

    pub(crate) fn be32(&mut self, attribute: u16, value: u32) {
        self.bytes(attribute, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, attribute: u16, value: u64) {
        self.bytes(attribute, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, attribute: u16, body: impl FnOnce(&mut Self)) {
        self.attribute(attribute | NESTED, body);
    }

    /// Writes the header, the body, the length and the padding to four bytes.
    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        // Callers chunk what may grow (`batch::ELEMENTS_BYTES_MAX`), so the length always fits.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// One message of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// What follows `struct nlmsghdr`.
    pub(crate) payload: &'a [u8],
}

/// The messages of a datagram; what is cut off is left out.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.first_chunk().copied()?) as usize;
        let message = bytes.get(..length).filter(|_| length >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([message[4], message[5]]),
            flags: u16::from_ne_bytes([message[6], message[7]]),
            sequence: u32::from_ne_bytes([message[8], message[9], message[10], message[11]]),
            payload: &message[HEADER..],
        })
    })
}

/// The attributes in `bytes` with their types; what is cut off is left out.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.first_chunk().copied()?));
        let attribute = bytes.get(..length).filter(|_| length >= 4)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([attribute[2], attribute[3]]) & TYPE_MASK, &attribute[4..]))
    })
}

/// The value of one attribute.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut wire = Wire::default();
        let header = Header { kind: 0x0a09, flags: REQUEST, sequence: 7, family: IPV4, resource: 10 };
        wire.message(header, |wire| {
            wire.text(1, "abc");
            wire.nest(2, |wire| wire.be32(1, 5));
        });
        let bytes = wire.into_bytes();
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, message.sequence, message.payload[..4].to_vec()), (0x0a09, 7, vec![2, 0, 0, 10]));
        let body = &message.payload[FAMILY_HEADER..];
        assert_eq!(attribute(body, 1).unwrap(), b"abc\0");
        assert_eq!(attribute(attribute(body, 2).unwrap(), 1).unwrap(), [0, 0, 0, 5]);
        assert_eq!(messages(&bytes).count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                attributes(message.payload).for_each(drop);
            }
        }
    }
}
