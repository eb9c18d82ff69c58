//! Who a client certificate speaks for: user = CN, groups = O, as Kubernetes reads them.

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
#[derive(Debug, thiserror::Error)]
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

/// Reads user and groups from a certificate that the TLS layer has already verified.
///
/// # Errors
/// [`IdentityError`].
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<CertificateIdentity, IdentityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Malformed)?;
    if !parsed.validity().is_valid() {
        return Err(IdentityError::Expired);
    }
    let subject = parsed.subject();
    let user = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).filter(|name| !name.is_empty());
    let groups = subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
    Ok(CertificateIdentity { user: user.ok_or(IdentityError::NoCommonName)?.to_owned(), groups })
}

/// When the first certificate of `pem` ends.
#[must_use]
pub fn certificate_ends(pem: &[u8]) -> Option<jiff::Timestamp> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
    jiff::Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}
