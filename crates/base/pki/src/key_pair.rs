//! Whether a certificate and a key belong together, in the words of Go's `tls.X509KeyPair`.

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;

/// Why a certificate and a key are no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPairError {
    /// No PEM block at all where the certificate should be.
    #[error("tls: failed to find any PEM data in certificate input")]
    NoCertificate,
    /// No PEM block at all where the key should be.
    #[error("tls: failed to find any PEM data in key input")]
    NoKey,
    /// Something else than a certificate.
    #[error("tls: failed to parse certificate")]
    Certificate,
    /// A key of no known kind.
    #[error("tls: failed to parse private key")]
    Key,
    /// Each is fine, but they do not belong together.
    #[error("tls: private key does not match public key")]
    Mismatch,
}

/// Checks that `key` (PEM) is that of the first of `certificates` (PEM).
///
/// # Errors
/// [`KeyPairError`].
pub fn check_key_pair(certificates: &[u8], key: &[u8]) -> Result<(), KeyPairError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|_| KeyPairError::NoCertificate)?;
    if chain.is_empty() {
        return Err(KeyPairError::NoCertificate);
    }
    let key = match PrivateKeyDer::from_pem_slice(key) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => return Err(KeyPairError::NoKey),
        Err(_) => return Err(KeyPairError::Key),
    };
    match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
        Ok(_) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(KeyPairError::Mismatch),
        Err(rustls::Error::InvalidCertificate(_)) => Err(KeyPairError::Certificate),
        Err(_) => Err(KeyPairError::Key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_others() {
        let make = || rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let (one, other) = (make(), make());
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let broken_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        for (certificate, key, expected) in [
            (certificate.as_str(), key.as_str(), Ok(())),
            (&certificate, &other.signing_key.serialize_pem(), Err(KeyPairError::Mismatch)),
            ("x", &key, Err(KeyPairError::NoCertificate)),
            (&certificate, "x", Err(KeyPairError::NoKey)),
            (broken, &key, Err(KeyPairError::Certificate)),
            (&certificate, broken_key, Err(KeyPairError::Key)),
        ] {
            assert_eq!(check_key_pair(certificate.as_bytes(), key.as_bytes()), expected);
        }
    }
}
