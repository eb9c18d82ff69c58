//! Whom a client trusts: servers whose certificate an authority signed, and servers whose certificate is itself among
//! what is trusted, even if it calls itself an authority, as Go's clients do and as `openssl req -x509` makes them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{TlsError, certificates, roots};

#[derive(Debug)]
pub(super) struct Trusted {
    by_chain: Arc<WebPkiServerVerifier>,
    themselves: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// The certificates of a PEM bundle, which must not be empty.
    pub(super) fn new(pem: &str, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let by_chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(pem)?), provider).build();
        let by_chain = by_chain.map_err(|error: VerifierBuilderError| TlsError::Verifier(error))?;
        Ok(Self { by_chain, themselves: certificates(pem).collect::<Result<_, _>>()? })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = match self.by_chain.verify_server_cert(certificate, others, name, ocsp_response, now) {
            Err(refused) if self.themselves.contains(certificate) => refused,
            otherwise => return otherwise,
        };
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Err(refused) };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if seconds < parsed.validity().not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if seconds > parsed.validity().not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        if let Ok(Some(usage)) = parsed.extended_key_usage()
            && !(usage.value.any || usage.value.server_auth)
        {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// A certificate that signs itself, says that it is an authority, and serves `hook.example`.
    fn own_authority(years: std::ops::Range<i32>) -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["hook.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_trusted_itself_may_be_an_authority() {
        let (ours, expired) = (own_authority(2000..2100), own_authority(2000..2001));
        let pem = format!("{}{}", ours.pem(), expired.pem());
        let trusted = Trusted::new(&pem, Arc::new(rustls::crypto::ring::default_provider())).unwrap();
        let verify = |certificate: &rcgen::Certificate, name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_700_000_000));
            trusted.verify_server_cert(certificate.der(), &[], &name, &[], now).map(drop)
        };
        assert_eq!(verify(&ours, "hook.example"), Ok(()));
        assert!(verify(&ours, "other.example").is_err());
        assert_eq!(verify(&expired, "hook.example"), Err(CertificateError::Expired.into()));
        assert!(verify(&own_authority(2000..2100), "hook.example").is_err(), "nobody said that it is trusted");
    }
}
