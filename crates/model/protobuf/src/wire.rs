//! The protobuf wire format: tags, varints, lengths.

use crate::decode::DecodeError;

/// One field as it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message, one after the other.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| DecodeError::Malformed)?;
        let raw = match tag & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(DecodeError::Malformed),
        };
        Ok(Some((number, raw)))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Malformed)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Malformed)
    }
}

/// A message in the making.
#[derive(Default)]
pub(crate) struct Writer {
    written: Vec<u8>,
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.written
    }

    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.raw_varint(u64::from(number) << 3);
        self.raw_varint(value);
    }

    pub(crate) fn fixed64(&mut self, number: u32, bits: u64) {
        self.raw_varint(u64::from(number) << 3 | 1);
        self.written.extend(bits.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.raw_varint(u64::from(number) << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.written.extend_from_slice(bytes);
    }

    /// A message that begins with bytes of another kind.
    pub(crate) fn starting_with(bytes: &[u8]) -> Self {
        Self { written: bytes.to_vec() }
    }

    /// A field whose bytes are in parts.
    pub(crate) fn parts(&mut self, number: u32, parts: &[&[u8]]) {
        self.raw_varint(u64::from(number) << 3 | 2);
        self.raw_varint(parts.iter().map(|part| part.len() as u64).sum());
        parts.iter().for_each(|part| self.written.extend_from_slice(part));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.written.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.written.push(value as u8);
    }
}
