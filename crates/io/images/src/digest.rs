//! SHA-256 of what is read, on the way.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Passes bytes through and hashes them.
pub(crate) struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, hash: Sha256::new() }
    }

    /// Reads to the end and returns the digest (`sha256:…`) of everything.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(format!("sha256:{}", hex(&self.hash.finalize())))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// The digest (`sha256:…`) of bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
