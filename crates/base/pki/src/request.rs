//! Certificate requests (PKCS #10) and the certificates that answer them.
//!
//! Subject, public key and alternative names are taken over byte by byte: what a subject may look like (several
//! organisations, any attribute) is wider than what certificate builders can express.

use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::SigningKey as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::error::X509Error;
use x509_parser::prelude::{
    FromDer as _, GeneralName, ParsedCriAttribute, ParsedExtension, X509Certificate, X509CertificationRequest, X509Name,
};

use crate::authority::{Authority, IssueError};
use crate::der::{self, tag};

const SUBJECT_ALTERNATIVE_NAME: &str = "2.5.29.17";

/// A certificate request whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The subject's first common name.
    pub common_name: String,
    /// The subject's organisations, in their order.
    pub organizations: Vec<String>,
    /// Alternative names: DNS.
    pub dns_names: Vec<String>,
    /// Alternative names: addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// Whether an e-mail address is among the alternative names.
    pub has_email_addresses: bool,
    /// Whether a URI is among the alternative names.
    pub has_uris: bool,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    alternative_names: Option<Vec<u8>>,
}

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not PEM with a `CERTIFICATE REQUEST` in it.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    Pem,
    /// Not a PKCS #10 request.
    #[error("the certificate request cannot be parsed")]
    Malformed,
    /// Whoever asks does not have the key.
    #[error("the certificate request is not signed by its own key")]
    Signature,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Kubernetes' names of usages, such as `client auth`.
    pub usages: &'a [String],
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid; the authority's own end comes first.
    pub not_after: Timestamp,
}

/// Checks that `pem` is a request signed by its own key, whatever it asks for. Signatures of kinds that are not known here
/// are left to the signers.
///
/// # Errors
/// [`RequestError`].
pub fn check_request(pem: &[u8]) -> Result<(), RequestError> {
    match read(&decode(pem)?)?.verify_signature() {
        Err(X509Error::SignatureVerificationError) => Err(RequestError::Signature),
        _ => Ok(()),
    }
}

/// The organisations of the subject that `pem` asks a certificate for, in their order.
///
/// # Errors
/// [`RequestError`], but for the signature.
pub fn organizations(pem: &[u8]) -> Result<Vec<String>, RequestError> {
    let der = decode(pem)?;
    Ok(organizations_of(&read(&der)?.certification_request_info.subject))
}

fn organizations_of(subject: &X509Name<'_>) -> Vec<String> {
    subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

fn decode(pem: &[u8]) -> Result<CertificateSigningRequestDer<'static>, RequestError> {
    CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestError::Pem)
}

fn read(der: &[u8]) -> Result<X509CertificationRequest<'_>, RequestError> {
    match X509CertificationRequest::from_der(der) {
        Ok(([], request)) => Ok(request),
        _ => Err(RequestError::Malformed),
    }
}

impl CertificateRequest {
    /// Reads a request (PEM) and checks its signature.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(pem: &[u8]) -> Result<Self, RequestError> {
        let der = decode(pem)?;
        let request = read(&der)?;
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        let info = &request.certification_request_info;
        let subject = &info.subject;
        let mut parsed = Self {
            common_name: subject
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            organizations: organizations_of(subject),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            has_email_addresses: false,
            has_uris: false,
            subject: subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            alternative_names: None,
        };
        for attribute in info.attributes() {
            let ParsedCriAttribute::ExtensionRequest(wanted) = attribute.parsed_attribute() else { continue };
            for extension in &wanted.extensions {
                let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { continue };
                parsed.alternative_names = Some(extension.value.to_vec());
                for name in &names.general_names {
                    parsed.add_name(name)?;
                }
            }
        }
        Ok(parsed)
    }

    fn add_name(&mut self, name: &GeneralName<'_>) -> Result<(), RequestError> {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.ip_addresses.push(address.map_err(|_| RequestError::Malformed)?);
            }
            GeneralName::RFC822Name(_) => self.has_email_addresses = true,
            GeneralName::URI(_) => self.has_uris = true,
            // Other kinds of names stand for nobody in Kubernetes and are not certified.
            _ => return Err(RequestError::Malformed),
        }
        Ok(())
    }
}

impl Authority {
    /// The certificate (PEM) that `request` asks for, on `terms`.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn sign(&self, request: &CertificateRequest, terms: &Terms<'_>) -> Result<String, IssueError> {
        let content = Content {
            subject: &request.subject,
            public_key: &request.public_key,
            alternative_names: request.alternative_names.as_deref(),
        };
        self.certify(&request.common_name, &content, terms)
    }

    pub(crate) fn certify(
        &self,
        common_name: &str,
        content: &Content<'_>,
        terms: &Terms<'_>,
    ) -> Result<String, IssueError> {
        let unusable = || IssueError::Authority { subject: common_name.to_owned() };
        let own = CertificateDer::from_pem_slice(self.certificate_pem().as_bytes()).map_err(|_| unusable())?;
        let (_, own) = X509Certificate::from_der(&own).map_err(|_| unusable())?;
        let ends = Timestamp::from_second(own.validity().not_after.timestamp()).map_err(|_| unusable())?;
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| unusable())?;
        // Positive and without leading zeros.
        serial[0] = serial[0] & 0x7f | 0x40;
        let algorithm = self.signature_algorithm().ok_or_else(unusable)?;
        let key_id = own.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        });
        let certificate = der::constructed(
            tag::SEQUENCE,
            &[
                der::constructed(tag::CONTEXT_0, &[der::value(tag::INTEGER, &[2])]),
                der::value(tag::INTEGER, &serial),
                algorithm.clone(),
                own.subject().as_raw().to_vec(),
                der::constructed(tag::SEQUENCE, &[der::time(terms.not_before), der::time(terms.not_after.min(ends))]),
                content.subject.to_vec(),
                content.public_key.to_vec(),
                der::constructed(
                    tag::CONTEXT_3,
                    &[der::constructed(tag::SEQUENCE, &extensions(terms.usages, key_id, content.alternative_names))],
                ),
            ],
        );
        let signature = self
            .key()
            .sign(&certificate)
            .map_err(|source| IssueError::Sign { subject: common_name.to_owned(), source })?;
        let signed = der::constructed(tag::SEQUENCE, &[certificate, algorithm, der::bits(&signature)]);
        Ok(pem("CERTIFICATE", &signed))
    }
}

/// What a certificate says, as DER.
pub(crate) struct Content<'a> {
    /// A `Name`.
    pub(crate) subject: &'a [u8],
    /// A `SubjectPublicKeyInfo`.
    pub(crate) public_key: &'a [u8],
    /// `GeneralNames`.
    pub(crate) alternative_names: Option<&'a [u8]>,
}

/// A `Name` of organisations and a common name.
pub(crate) fn subject_name<'a>(common_name: &str, organizations: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let attribute = |oid: &str, text: &str| {
        let text = der::value(tag::UTF8_STRING, text.as_bytes());
        der::constructed(tag::SET, &[der::constructed(tag::SEQUENCE, &[der::oid(oid), text])])
    };
    let mut parts: Vec<Vec<u8>> =
        organizations.into_iter().map(|organization| attribute("2.5.4.10", organization)).collect();
    parts.push(attribute("2.5.4.3", common_name));
    der::constructed(tag::SEQUENCE, &parts)
}

fn extensions(usages: &[String], key_id: Option<&[u8]>, alternative_names: Option<&[u8]>) -> Vec<Vec<u8>> {
    let extension = |oid: &str, critical: bool, content: &[u8]| {
        let mut parts = vec![der::oid(oid)];
        if critical {
            parts.push(der::value(tag::BOOLEAN, &[0xff]));
        }
        parts.push(der::value(tag::OCTET_STRING, content));
        der::constructed(tag::SEQUENCE, &parts)
    };
    let mut all = Vec::new();
    if let Some(bits) = key_usage(usages) {
        all.push(extension("2.5.29.15", true, &bits));
    }
    let purposes: Vec<Vec<u8>> = usages.iter().filter_map(|usage| extended_usage(usage)).map(der::oid).collect();
    if !purposes.is_empty() {
        all.push(extension("2.5.29.37", false, &der::constructed(tag::SEQUENCE, &purposes)));
    }
    // Not an authority.
    all.push(extension("2.5.29.19", true, &der::constructed(tag::SEQUENCE, &[])));
    if let Some(id) = key_id {
        let content = der::constructed(tag::SEQUENCE, &[der::value(tag::IMPLICIT_0, id)]);
        all.push(extension("2.5.29.35", false, &content));
    }
    if let Some(names) = alternative_names {
        all.push(extension(SUBJECT_ALTERNATIVE_NAME, false, names));
    }
    all
}

/// The `KeyUsage` bit string: bit 0 is the highest of the first byte.
fn key_usage(usages: &[String]) -> Option<Vec<u8>> {
    let mut bits: u16 = 0;
    for usage in usages {
        let bit = match usage.as_str() {
            "signing" | "digital signature" => 0,
            "content commitment" => 1,
            "key encipherment" => 2,
            "data encipherment" => 3,
            "key agreement" => 4,
            "cert sign" => 5,
            "crl sign" => 6,
            "encipher only" => 7,
            "decipher only" => 8,
            _ => continue,
        };
        bits |= 0x8000 >> bit;
    }
    let [first, second] = bits.to_be_bytes();
    let content: &[u8] = match (first, second) {
        (0, 0) => return None,
        (first, 0) => &[u8::try_from(first.trailing_zeros()).unwrap_or(0), first],
        (first, second) => &[u8::try_from(second.trailing_zeros()).unwrap_or(0), first, second],
    };
    Some(der::value(tag::BIT_STRING, content))
}

fn extended_usage(usage: &str) -> Option<&'static str> {
    Some(match usage {
        "any" => "2.5.29.37.0",
        "server auth" => "1.3.6.1.5.5.7.3.1",
        "client auth" => "1.3.6.1.5.5.7.3.2",
        "code signing" => "1.3.6.1.5.5.7.3.3",
        "email protection" | "s/mime" => "1.3.6.1.5.5.7.3.4",
        "ipsec end system" => "1.3.6.1.5.5.7.3.5",
        "ipsec tunnel" => "1.3.6.1.5.5.7.3.6",
        "ipsec user" => "1.3.6.1.5.5.7.3.7",
        "timestamping" => "1.3.6.1.5.5.7.3.8",
        "ocsp signing" => "1.3.6.1.5.5.7.3.9",
        "microsoft sgc" => "1.3.6.1.4.1.311.10.3.3",
        "netscape sgc" => "2.16.840.1.113730.4.1",
        _ => return None,
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;
    use crate::identity_of;

    fn terms(usages: &[String]) -> Terms<'_> {
        let now = Timestamp::now();
        Terms { usages, not_before: now, not_after: now + jiff::SignedDuration::from_hours(1) }
    }

    #[test]
    fn a_request_becomes_a_certificate_that_tls_accepts() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["web.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.distinguished_name.push(DnType::OrganizationName, "dev");
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let request = CertificateRequest::parse(pem.as_bytes()).unwrap();
        assert_eq!((request.common_name.as_str(), &request.organizations[..]), ("alice", &["dev".to_owned()][..]));
        assert_eq!((request.dns_names.as_slice(), request.ip_addresses.len()), (&["web.example".to_owned()][..], 1));
        let usages = ["digital signature", "key encipherment", "client auth"].map(str::to_owned);
        let certificate = authority.sign(&request, &terms(&usages)).unwrap();
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let identity = identity_of(&der).unwrap();
        assert_eq!((identity.user.as_str(), identity.groups), ("alice", vec!["dev".to_owned()]));
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        let own = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        let (_, own) = X509Certificate::from_der(&own).unwrap();
        parsed.verify_signature(Some(own.public_key())).unwrap();
        let usage = parsed.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && usage.value.key_encipherment());
        assert!(parsed.extended_key_usage().unwrap().unwrap().value.client_auth);
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        assert!(!parsed.is_ca());
        assert!(parsed.validity().time_to_expiration().unwrap().whole_minutes() <= 60);
    }

    #[test]
    fn several_organizations_are_several_groups() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "test-ca").unwrap();
        let issued = authority.issue_client("bob", ["one", "two", "three"]).unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        assert_eq!(identity_of(&der).unwrap().groups, ["one", "two", "three"]);
        assert!(crate::client_config(authority.certificate_pem(), Some(&issued), &["h2"]).is_ok());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let key = KeyPair::generate().unwrap();
        let pem = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        // One letter of the signature is another.
        let (head, tail) = pem.split_at(pem.len() - 60);
        let forged: String = head
            .chars()
            .chain(tail.chars().map(|c| {
                if c == 'A' {
                    'B'
                } else if c == 'B' {
                    'A'
                } else {
                    c
                }
            }))
            .collect();
        for bad in [
            "",
            "garbage",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ] {
            assert!(CertificateRequest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        if forged != pem {
            assert!(CertificateRequest::parse(forged.as_bytes()).is_err());
        }
    }
}
