//! The certificate authority: loads or makes itself, and issues leaf certificates.

use std::net::IpAddr;
use std::path::Path;

use jiff::{SignedDuration, Span, Timestamp, Zoned, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _,
    SanType,
};

use crate::der;
use crate::files::{PkiError, read_or_create};
use crate::request::{Content, Terms, subject_name};

/// Years that the authority's own certificate is valid.
const AUTHORITY_YEARS: i16 = 10;
/// Days that an issued certificate is valid, as kubeadm's are.
const LEAF_DAYS: i32 = 365;

/// A certificate authority whose key is at hand.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The issuer's key again: it does not lend its own.
    key: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate with its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

/// Why a certificate could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The authority's own certificate or kind of key is not one that certificates can be made with.
    #[error("the authority cannot sign the certificate of {subject:?}")]
    Authority {
        /// The common name.
        subject: String,
    },
    /// Making the key or the signature failed.
    #[error("failed to sign the certificate of {subject:?}")]
    Sign {
        /// The common name.
        subject: String,
        /// What failed.
        source: rcgen::Error,
    },
}

impl Authority {
    /// The authority whose `ca.crt` and `ca.key` lie in `directory`; made there if neither is.
    ///
    /// # Errors
    /// [`PkiError`] where a file is unreadable, malformed, or one of the two is missing.
    pub fn load_or_create(directory: &Path, name: &str) -> Result<Self, PkiError> {
        let certificate_path = directory.join("ca.crt");
        let key_path = directory.join("ca.key");
        if certificate_path.exists() && !key_path.exists() {
            return Err(PkiError::HalfMissing { present: certificate_path, missing: key_path });
        }
        let generate =
            |e: rcgen::Error| PkiError::Generate { what: "the certificate authority", reason: e.to_string() };
        let malformed = |path: &Path, expected, e: rcgen::Error| PkiError::Malformed {
            path: path.to_owned(),
            expected,
            reason: e.to_string(),
        };
        let key_pem = read_or_create(&key_path, || Ok(KeyPair::generate().map_err(generate)?.serialize_pem()))?;
        let read_key = || KeyPair::from_pem(&key_pem).map_err(|e| malformed(&key_path, "a private key in PEM", e));
        let key = read_key()?;
        // A certificate made again from the same key and name still vouches for everything that was issued before.
        let certificate_pem = read_or_create(&certificate_path, || self_signed(name, &key).map_err(generate))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|e| malformed(&certificate_path, "a certificate in PEM", e))?;
        Ok(Self { certificate_pem, issuer, key: read_key()? })
    }

    /// The authority's certificate, PEM: what clients must trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate by which a server proves that it is one of `names` or `addresses`.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue_server(&self, subject: &str, names: &[String], addresses: &[IpAddr]) -> Result<Issued, IssueError> {
        let mut params = CertificateParams::new(names.to_vec())
            .map_err(|source| IssueError::Name { name: names.join(","), source })?;
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(subject, params)
    }

    /// A certificate by which a client proves that it is `user`, a member of `groups` (X.509 CN and O).
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue_client<'a>(
        &self,
        user: &str,
        groups: impl IntoIterator<Item = &'a str>,
    ) -> Result<Issued, IssueError> {
        let failed = |source| IssueError::Sign { subject: user.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let subject = subject_name(user, groups);
        let public_key = key.subject_public_key_info();
        let content = Content { subject: &subject, public_key: &public_key, alternative_names: None };
        let usages = ["digital signature", "key encipherment", "client auth"].map(str::to_owned);
        let now = Timestamp::now();
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        // From yesterday, so that clocks may differ.
        let terms = Terms { usages: &usages, not_before: now - days(1), not_after: now + days(i64::from(LEAF_DAYS)) };
        Ok(Issued { certificate_pem: self.certify(user, &content, &terms)?, key_pem: key.serialize_pem() })
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The `AlgorithmIdentifier` of the authority's signatures (RFC 5758, RFC 4055, RFC 8410).
    pub(crate) fn signature_algorithm(&self) -> Option<Vec<u8>> {
        let algorithm = self.key.algorithm();
        let known = [
            (&PKCS_ECDSA_P256_SHA256, "1.2.840.10045.4.3.2", false),
            (&PKCS_ECDSA_P384_SHA384, "1.2.840.10045.4.3.3", false),
            (&PKCS_ED25519, "1.3.101.112", false),
            (&PKCS_RSA_SHA256, "1.2.840.113549.1.1.11", true),
        ];
        let (_, oid, null) = known.into_iter().find(|(known, ..)| **known == *algorithm)?;
        let mut parts = vec![der::oid(oid)];
        if null {
            parts.push(vec![0x05, 0x00]);
        }
        Some(der::constructed(der::tag::SEQUENCE, &parts))
    }

    fn issue(&self, subject: &str, mut params: CertificateParams) -> Result<Issued, IssueError> {
        let failed = |source| IssueError::Sign { subject: subject.to_owned(), source };
        params.distinguished_name = distinguished_name(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.is_ca = IsCa::ExplicitNoCa;
        valid_for(&mut params, Span::new().days(LEAF_DAYS));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn self_signed(name: &str, key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, Span::new().years(AUTHORITY_YEARS));
    Ok(params.self_signed(key)?.pem())
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// From yesterday, so that clocks may differ, for `span` from today.
fn valid_for(params: &mut CertificateParams, span: Span) {
    let today = Zoned::now().with_time_zone(TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(today.saturating_sub(Span::new().days(1)));
    params.not_after = day(today.saturating_add(span));
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::{client_config, identity_of, server_config};

    #[test]
    fn issues_certificates_that_last_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        let again = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());

        let client = again.issue_client("alice", Some("dev")).unwrap();
        let der = CertificateDer::from_pem_slice(client.certificate_pem.as_bytes()).unwrap();
        let identity = identity_of(&der).unwrap();
        assert_eq!((identity.user.as_str(), identity.groups), ("alice", vec!["dev".to_owned()]));

        let server = again.issue_server("api", &["localhost".to_owned()], &["127.0.0.1".parse().unwrap()]).unwrap();
        assert!(server_config(&server, again.certificate_pem()).is_ok());
        assert!(client_config(again.certificate_pem(), Some(&client), &["h2"]).is_ok());
    }

    #[test]
    fn a_lost_key_is_named_and_a_lost_certificate_is_made_again_from_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        let before = first.issue_server("api", &["localhost".to_owned()], &[]).unwrap();
        std::fs::remove_file(directory.path().join("ca.crt")).unwrap();
        let again = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        let leaf = CertificateDer::from_pem_slice(before.certificate_pem.as_bytes()).unwrap();
        let authority = CertificateDer::from_pem_slice(again.certificate_pem().as_bytes()).unwrap();
        let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        assert_eq!(leaf.issuer(), authority.subject());

        std::fs::remove_file(directory.path().join("ca.key")).unwrap();
        let error = Authority::load_or_create(directory.path(), "test-ca").err().unwrap();
        assert!(error.to_string().contains("ca.key is missing"), "{error}");
    }

    #[test]
    fn garbage_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        Authority::load_or_create(directory.path(), "test-ca").unwrap();
        std::fs::write(directory.path().join("ca.key"), "garbage").unwrap();
        let error = Authority::load_or_create(directory.path(), "test-ca").err().unwrap();
        assert!(error.to_string().contains("ca.key does not hold a private key"), "{error}");
    }
}
