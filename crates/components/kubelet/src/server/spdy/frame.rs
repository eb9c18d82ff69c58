//! Frames in and out, header blocks under zlib.
//!
//! Control frame: `1 | version:15 | type:16 | flags:8 | length:24 | payload`; data frame: `0 | stream:31 | flags:8 |
//! length:24 | payload`. (SPDY protocol, draft 3.1.) Windows are not kept: clients of Kubernetes do not use them.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FLAG_FIN: u8 = 1;
const HEADER_BYTES: usize = 8;
/// Of control frames, which are kept until they are whole. Data is handed on as it comes.
const CONTROL_BYTES_MAX: usize = 64 << 10;
const HEADER_BLOCK_BYTES_MAX: usize = 64 << 10;

/// What a client may send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream.
    Open { stream: u32, fin: bool, headers: BTreeMap<String, String> },
    /// Bytes on a stream: a data frame, or a piece of one.
    Data { stream: u32, fin: bool, data: Bytes },
    /// The end of a stream in both directions.
    Reset { stream: u32 },
    /// To be sent back as it is.
    Ping { id: u32 },
    /// The client opens no more streams.
    GoAway,
    /// Settings and window updates.
    Other,
}

/// Why the bytes are no SPDY.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpdyError {
    #[error("control frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("version {0} is not spoken here")]
    Version(u16),
    #[error("header block is damaged")]
    Headers,
    #[error("header compression")]
    Inflate(#[from] flate2::DecompressError),
    #[error("stream {0} cannot be opened")]
    Stream(u32),
    #[error("more than {0} streams are open")]
    TooManyStreams(usize),
}

/// Bytes in, frames out.
pub(super) struct Decoder {
    buffer: BytesMut,
    inflate: Decompress,
    dictionary: Vec<u8>,
    /// The data frame that has not come to its end.
    data: Option<Unfinished>,
}

struct Unfinished {
    stream: u32,
    fin: bool,
    bytes_left: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), inflate: Decompress::new(true), dictionary: dictionary(), data: None }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is here.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, SpdyError> {
        if let Some(data) = self.data.take() {
            return Ok(self.piece(data));
        }
        let Some(header) = self.buffer.get(..HEADER_BYTES) else { return Ok(None) };
        let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let flags = header[4];
        let length = usize::from(header[5]) << 16 | usize::from(header[6]) << 8 | usize::from(header[7]);
        let fin = flags & FLAG_FIN != 0;
        if first >> 31 == 0 {
            self.buffer.advance(HEADER_BYTES);
            return Ok(self.piece(Unfinished { stream: first, fin, bytes_left: length }));
        }
        let version = (first >> 16) as u16 & 0x7fff;
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        if length > CONTROL_BYTES_MAX {
            return Err(SpdyError::TooLong(length));
        }
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let mut payload = self.buffer.split_to(length).freeze();
        let kind = (first & 0xffff) as u16;
        Ok(Some(match kind {
            SYN_STREAM if payload.len() >= 10 => {
                let stream = payload.get_u32() & 0x7fff_ffff;
                payload.advance(6);
                Frame::Open { stream, fin, headers: self.headers(&payload)? }
            }
            RST_STREAM if payload.len() >= 4 => Frame::Reset { stream: payload.get_u32() & 0x7fff_ffff },
            PING if payload.len() >= 4 => Frame::Ping { id: payload.get_u32() },
            GOAWAY => Frame::GoAway,
            _ => Frame::Other,
        }))
    }

    /// As much of a data frame as is here.
    fn piece(&mut self, Unfinished { stream, fin, bytes_left }: Unfinished) -> Option<Frame> {
        let here = bytes_left.min(self.buffer.len());
        let data = self.buffer.split_to(here).freeze();
        if here == bytes_left {
            return Some(Frame::Data { stream, fin, data });
        }
        self.data = Some(Unfinished { stream, fin, bytes_left: bytes_left - here });
        (here > 0).then_some(Frame::Data { stream, fin: false, data })
    }

    fn headers(&mut self, block: &[u8]) -> Result<BTreeMap<String, String>, SpdyError> {
        let plain = self.inflate(block)?;
        let mut rest = plain.as_slice();
        let take = |rest: &mut &[u8]| -> Option<usize> {
            if rest.len() < 4 {
                return None;
            }
            usize::try_from(rest.get_u32()).ok()
        };
        let text = |rest: &mut &[u8]| -> Option<String> {
            let length = take(rest)?;
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        if rest.len() < 4 {
            return Err(SpdyError::Headers);
        }
        let count = rest.get_u32();
        let mut headers = BTreeMap::new();
        for _ in 0..count {
            let (Some(name), Some(value)) = (text(&mut rest), text(&mut rest)) else { return Err(SpdyError::Headers) };
            headers.insert(name.to_ascii_lowercase(), value);
        }
        Ok(headers)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut plain = Vec::with_capacity(1024);
        loop {
            if plain.len() > HEADER_BLOCK_BYTES_MAX {
                return Err(SpdyError::Headers);
            }
            plain.reserve_exact(1024);
            let (consumed, produced) = (self.inflate.total_in(), self.inflate.total_out());
            let result = self.inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let taken = usize::try_from(self.inflate.total_in() - consumed).unwrap_or(block.len());
            block = block.get(taken..).unwrap_or_default();
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&self.dictionary)?;
                }
                Err(error) => return Err(error.into()),
                Ok(Status::StreamEnd) => return Ok(plain),
                Ok(_) if block.is_empty() && plain.len() < plain.capacity() => return Ok(plain),
                Ok(_) if taken == 0 && self.inflate.total_out() == produced => return Err(SpdyError::Headers),
                Ok(_) => {}
            }
        }
    }
}

/// Frames to send.
pub(super) struct Encoder {
    /// An empty header block for each reply; one compression context for all of them.
    deflate: Compress,
}

impl Encoder {
    pub(super) fn new() -> Self {
        let mut deflate = Compress::new(Compression::best(), true);
        if let Err(error) = deflate.set_dictionary(&dictionary()) {
            tracing::warn!(%error, "SPDY without its dictionary");
        }
        Self { deflate }
    }

    /// Accepts a stream.
    pub(super) fn reply(&mut self, stream: u32) -> Bytes {
        let mut block = Vec::with_capacity(256);
        // The output always fits: at most a few bytes come of four zeros.
        if let Err(error) = self.deflate.compress_vec(&0_u32.to_be_bytes(), &mut block, FlushCompress::Sync) {
            tracing::warn!(%error, "SPDY header compression failed");
        }
        let mut payload = BytesMut::new();
        payload.put_u32(stream);
        payload.put_slice(&block);
        control(SYN_REPLY, &payload)
    }
}

/// Bytes on a stream, the last if `fin`.
pub(in crate::server) fn data(stream: u32, fin: bool, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + bytes.len());
    frame.put_u32(stream & 0x7fff_ffff);
    put_length(&mut frame, u8::from(fin) * FLAG_FIN, bytes.len());
    frame.put_slice(bytes);
    frame.freeze()
}

/// The answer to a ping.
pub(super) fn pong(id: u32) -> Bytes {
    control(PING, &id.to_be_bytes())
}

/// No more streams are taken; all is well.
pub(super) fn go_away(last_stream: u32) -> Bytes {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last_stream.to_be_bytes());
    control(GOAWAY, &payload)
}

fn control(kind: u16, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload.len());
    frame.put_u16(0x8000 | VERSION);
    frame.put_u16(kind);
    put_length(&mut frame, 0, payload.len());
    frame.put_slice(payload);
    frame.freeze()
}

fn put_length(frame: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
    frame.put_u32(u32::from(flags) << 24 | length);
}

/// The dictionary of SPDY/3's header compression: words with their lengths, then frequent text.
fn dictionary() -> Vec<u8> {
    const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
        accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
        content-length content-location content-md5 content-range content-type date etag expect expires from host \
        if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards \
        pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding \
        upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
        set-cookie keep-alive origin";
    const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
        203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
        403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
        Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
        chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
        text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    let mut dictionary = Vec::with_capacity(1423);
    for word in WORDS.split(' ') {
        let word = word.replace('_', " ");
        dictionary.put_u32(u32::try_from(word.len()).unwrap_or_default());
        dictionary.put_slice(word.as_bytes());
    }
    dictionary.put_slice(TEXT.as_bytes());
    dictionary
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_specification() {
        let dictionary = dictionary();
        assert_eq!(dictionary.len(), 1423);
        // Every SPDY/3 header block of the world begins with 78 bb and this checksum.
        let mut compress = Compress::new(Compression::best(), true);
        assert_eq!(compress.set_dictionary(&dictionary).unwrap(), 0xe3c6_a7c2);
    }

    /// A client's half of the conversation.
    fn open(deflate: &mut Compress, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = Vec::new();
        plain.put_u32(headers.len() as u32);
        for part in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(part.len() as u32);
            plain.put_slice(part.as_bytes());
        }
        let mut block = Vec::with_capacity(4096);
        deflate.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        let mut payload = Vec::new();
        payload.put_u32(stream);
        payload.put_u32(0);
        payload.put_u16(0);
        payload.extend(block);
        control(SYN_STREAM, &payload).to_vec()
    }

    #[test]
    fn streams_open_with_headers_in_pieces() {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&dictionary()).unwrap();
        let mut bytes = open(&mut deflate, 1, &[("streamtype", "error"), ("port", "80"), ("requestid", "0")]);
        bytes.extend(open(&mut deflate, 3, &[("streamtype", "data"), ("port", "80"), ("requestid", "0")]));
        bytes.extend(data(3, true, b"hello"));
        bytes.extend(pong(7));
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            while let Some(frame) = decoder.next().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames.len(), 8, "{frames:?}");
        let Frame::Open { stream: 3, fin: false, headers } = &frames[1] else { panic!("{frames:?}") };
        assert_eq!(headers["streamtype"], "data");
        for (frame, letter) in frames[2..7].iter().zip(["h", "e", "l", "l", "o"]) {
            assert_eq!(*frame, Frame::Data { stream: 3, fin: letter == "o", data: Bytes::from(letter) });
        }
        assert_eq!(frames[7], Frame::Ping { id: 7 });
    }

    #[test]
    fn garbage_is_refused() {
        let next = |bytes: &[u8]| {
            let mut decoder = Decoder::new();
            decoder.push(bytes);
            decoder.next()
        };
        assert!(matches!(next(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Err(SpdyError::Version(2))));
        assert!(matches!(next(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]), Err(SpdyError::TooLong(0x00ff_ffff))));
        let no_zlib = [0x80, 3, 0, 1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2];
        assert!(matches!(next(&no_zlib), Err(SpdyError::Inflate(_))));
    }

    #[test]
    fn bombs_of_headers_do_not_swell() {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&dictionary()).unwrap();
        let long = "a".repeat(HEADER_BLOCK_BYTES_MAX + 4096);
        let mut decoder = Decoder::new();
        decoder.push(&open(&mut deflate, 1, &[("streamtype", &long)]));
        assert!(matches!(decoder.next(), Err(SpdyError::Headers)));
    }

    proptest! {
        /// Whatever comes, in whatever pieces: frames or an error, never a panic, and no more kept than a control frame.
        #[test]
        fn no_bytes_panic(
            pieces in vec((any::<bool>(), 0..8_u8, vec(any::<u8>(), 0..48)), 0..24)
        ) {
            let mut decoder = Decoder::new();
            'all: for (framed, kind, bytes) in pieces {
                // Half of it looks like a control frame.
                let bytes = if framed { control(u16::from(kind), &bytes).to_vec() } else { bytes };
                decoder.push(&bytes);
                loop {
                    match decoder.next() {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(decoder.buffer.len() <= HEADER_BYTES + CONTROL_BYTES_MAX);
            }
        }
    }

    #[test]
    fn replies_share_one_compression() {
        let mut encoder = Encoder::new();
        let (first, second) = (encoder.reply(1), encoder.reply(3));
        assert_eq!(&first[12..18], [0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2].as_slice());
        assert_ne!(&second[12..14], [0x78, 0xf9].as_slice());
    }
}
