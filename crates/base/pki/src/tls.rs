//! TLS configurations from PEM.

mod trusted;

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::authority::Issued;
use trusted::Trusted;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// PEM that does not parse.
    #[error("{what} is not valid PEM")]
    Pem {
        /// Which part.
        what: &'static str,
        /// What the parser said.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate that cannot be trusted or used.
    #[error("{what} cannot be used")]
    Rustls {
        /// Which part.
        what: &'static str,
        /// What the library said.
        source: rustls::Error,
    },
    /// The verifier cannot be built.
    #[error("the authority cannot be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Serves with `identity`; asks clients for a certificate of `client_authority_pem`, and lets those without one in (they
/// may have a token). Speaks HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(identity: &Issued, client_authority_pem: &str) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_authority_pem)?), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let (chain, key) = parse(identity)?;
    let failed = |source| TlsError::Rustls { what: "the server's certificate", source };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts servers of `authority_pem`; shows `identity` where there is one. `protocols` are ALPN names by preference.
///
/// # Errors
/// [`TlsError`].
pub fn client_config(
    authority_pem: &str,
    identity: Option<&Issued>,
    protocols: &[&str],
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |source| TlsError::Rustls { what: "the client's certificate", source };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusted::new(authority_pem, provider)?));
    let mut config = match identity {
        Some(identity) => {
            let (chain, key) = parse(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(failed)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Trusts any server: for what the Kubernetes API says is not verified, such as HTTPS in pods behind `proxy`.
#[must_use]
pub fn unverified_client_config() -> ClientConfig {
    unverified().with_no_client_auth()
}

/// As [`unverified_client_config`], and shows `identity` where there is one.
///
/// # Errors
/// [`TlsError`].
pub fn unverified_client_config_as(identity: Option<&Issued>) -> Result<ClientConfig, TlsError> {
    let Some(identity) = identity else { return Ok(unverified_client_config()) };
    let failed = |source| TlsError::Rustls { what: "the client's certificate", source };
    let (chain, key) = parse(identity)?;
    unverified().with_client_auth_cert(chain, key).map_err(failed)
}

fn unverified() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ALL_VERSIONS;
    let builder = match ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions) {
        Ok(builder) => builder,
        // ring has cipher suites for every version that rustls knows.
        Err(_) => unreachable!(),
    };
    builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
}

/// Accepts every certificate; still demands that the server has its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn roots(authority_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority_pem) {
        let failed = |source| TlsError::Rustls { what: "the authority's certificate", source };
        roots.add(certificate?).map_err(failed)?;
    }
    Ok(roots)
}

fn certificates(authority_pem: &str) -> impl Iterator<Item = Result<CertificateDer<'static>, TlsError>> {
    CertificateDer::pem_slice_iter(authority_pem.as_bytes())
        .map(|found| found.map_err(|source| TlsError::Pem { what: "the authority's certificate", source }))
}

/// Authorities of client certificates that are checked outside a handshake: when it takes several kinds of clients.
#[derive(Clone, Debug)]
pub struct ClientAuthority(Arc<dyn ClientCertVerifier>);

impl ClientAuthority {
    /// The authorities of a PEM bundle.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(pem: &str) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self(WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider).build()?))
    }

    /// Whether one of them vouches for the first certificate of `chain`, now.
    #[must_use]
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, others)) = chain.split_first() else { return false };
        self.0.verify_client_cert(leaf, others, UnixTime::now()).is_ok()
    }
}

type Parsed = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parse(identity: &Issued) -> Result<Parsed, TlsError> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what: "the certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "the private key", source })?;
    Ok((chain, key))
}
