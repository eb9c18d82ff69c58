//! Who a client certificate speaks for: user = CN, groups = O, as Kubernetes reads them.

use std::sync::OnceLock;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The user and groups of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The subject's common name.
    pub user: String,
    /// The subject's organisations.
    pub groups: Vec<String>,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not an X.509 certificate.
    #[error("the client certificate cannot be parsed")]
    Malformed,
    /// Its time is over, or has not come: connections may last longer than certificates.
    #[error("the client certificate is not valid at this time")]
    Expired,
    /// The subject has no common name.
    #[error("the client certificate has no common name")]
    NoCommonName,
}

/// The certificate chain that a client has shown at the start of its connection; whom it speaks for is read once.
#[derive(Debug, Default)]
pub struct ClientChain {
    certificates: Vec<CertificateDer<'static>>,
    leaf: OnceLock<Result<Leaf, IdentityError>>,
}

/// What is read of a client's own certificate.
#[derive(Debug)]
struct Leaf {
    identity: CertificateIdentity,
    /// Seconds since the epoch between which it is valid, both included.
    valid: std::ops::RangeInclusive<i64>,
}

impl ClientChain {
    /// A chain, leaf first, that the TLS layer has already verified.
    #[must_use]
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self { certificates, leaf: OnceLock::new() }
    }

    /// The certificates, leaf first; none where the client has sent none.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Whom the chain speaks for at this moment; `None` without certificates.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn identity(&self) -> Option<Result<&CertificateIdentity, IdentityError>> {
        let certificate = self.certificates.first()?;
        Some(match self.leaf.get_or_init(|| read(certificate)) {
            Ok(leaf) if leaf.valid.contains(&now()) => Ok(&leaf.identity),
            Ok(_) => Err(IdentityError::Expired),
            Err(error) => Err(*error),
        })
    }
}

/// Reads user and groups from a certificate that the TLS layer has already verified.
///
/// # Errors
/// [`IdentityError`].
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<CertificateIdentity, IdentityError> {
    let leaf = read(certificate)?;
    if leaf.valid.contains(&now()) { Ok(leaf.identity) } else { Err(IdentityError::Expired) }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Leaf, IdentityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
    let validity = parsed.validity();
    let subject = parsed.subject();
    let user = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).filter(|name| !name.is_empty());
    let groups = subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
    Ok(Leaf {
        identity: CertificateIdentity { user: user.ok_or(IdentityError::NoCommonName)?.to_owned(), groups },
        valid: validity.not_before.timestamp()..=validity.not_after.timestamp(),
    })
}

/// Seconds since the epoch.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// When the first certificate of `pem` ends.
#[must_use]
pub fn certificate_ends(pem: &[u8]) -> Option<jiff::Timestamp> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
    jiff::Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn a_chain_speaks_for_its_leaf() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "ca").unwrap();
        let issued = authority.issue_client("alice", Some("admins")).unwrap();
        let leaf = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        let chain = ClientChain::new(vec![leaf.clone()]);
        for _ in 0..2 {
            assert_eq!(chain.identity().unwrap().unwrap(), &identity_of(&leaf).unwrap());
        }
        let expired = ClientChain::new(vec![leaf.clone()]);
        let identity = read(&leaf).unwrap().identity;
        expired.leaf.set(Ok(Leaf { identity, valid: 0..=1 })).unwrap();
        assert_eq!(expired.identity(), Some(Err(IdentityError::Expired)));
        let garbage = ClientChain::new(vec![CertificateDer::from(vec![1, 2, 3])]);
        assert_eq!(garbage.identity(), Some(Err(IdentityError::Malformed)));
        assert_eq!(ClientChain::default().identity(), None);
    }
}
