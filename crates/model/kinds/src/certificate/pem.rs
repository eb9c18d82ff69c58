//! PEM (RFC 7468) as far as the shape of certificates' fields goes. Whether what is inside can be read is for signers to find.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What is wrong with a list of certificates.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PemError {
    #[error("only CERTIFICATE PEM blocks are allowed, found {0:?}")]
    Kind(String),
    #[error("no PEM block headers are permitted")]
    Headers,
    #[error("x509: malformed certificate")]
    Content,
    #[error("must contain at least one CERTIFICATE PEM block")]
    Empty,
}

struct Block<'a> {
    kind: &'a str,
    body: &'a str,
    rest: &'a str,
}

fn next(text: &str) -> Option<Block<'_>> {
    let (_, after) = text.split_once("-----BEGIN ")?;
    let (kind, after) = after.split_once("-----")?;
    let (body, rest) = after.split_once(&format!("-----END {kind}-----"))?;
    Some(Block { kind, body, rest })
}

/// The kind of the first block.
pub(super) fn first_block(data: &[u8]) -> Option<&str> {
    next(std::str::from_utf8(data).ok()?).map(|block| block.kind)
}

/// Checks that `data`, if there is any, is a list of certificates.
pub(super) fn certificates(data: &[u8]) -> Result<(), PemError> {
    if data.is_empty() {
        return Ok(());
    }
    let mut text = std::str::from_utf8(data).map_err(|_| PemError::Empty)?;
    let mut blocks = 0;
    while let Some(block) = next(text) {
        if block.kind != "CERTIFICATE" {
            return Err(PemError::Kind(block.kind.to_owned()));
        }
        if block.body.contains(':') {
            return Err(PemError::Headers);
        }
        let compact: String = block.body.split_whitespace().collect();
        // An ASN.1 sequence, as every certificate is one.
        if STANDARD.decode(compact).ok().and_then(|bytes| bytes.first().copied()) != Some(0x30) {
            return Err(PemError::Content);
        }
        blocks += 1;
        text = block.rest;
    }
    if blocks == 0 { Err(PemError::Empty) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_certificates() {
        let block = |kind: &str, body: &str| format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
        let good = block("CERTIFICATE", "MAA=");
        for (text, expected) in [
            (String::new(), Ok(())),
            (format!("{good}{good}"), Ok(())),
            ("x".to_owned(), Err(PemError::Empty)),
            (block("KEY", "MAA="), Err(PemError::Kind("KEY".to_owned()))),
            (block("CERTIFICATE", "a: b\n\nMAA="), Err(PemError::Headers)),
            (block("CERTIFICATE", "AAAA"), Err(PemError::Content)),
        ] {
            assert_eq!(certificates(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(first_block(block("CERTIFICATE REQUEST", "MAA=").as_bytes()), Some("CERTIFICATE REQUEST"));
    }
}
