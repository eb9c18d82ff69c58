//! Public keys that tokens are verified with: from JSON Web Key Sets (RFC 7517) and from PEM.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;

use crate::der::{self, tag};

/// A key by which signatures are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA: modulus and exponent, big-endian.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point of P-256, uncompressed.
    P256(Vec<u8>),
    /// A point of P-384, uncompressed.
    P384(Vec<u8>),
}

/// Why a key cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseKeyError {
    /// Not PEM, not a key, or none of a known kind.
    #[error("not a public key or certificate with an RSA, P-256 or P-384 key in PEM")]
    Unknown,
    /// Not `{"keys": […]}`.
    #[error("not a JSON Web Key Set")]
    Set,
}

impl PublicKey {
    /// The public keys of a PEM file: public keys and certificates.
    ///
    /// # Errors
    /// [`ParseKeyError::Unknown`] where one cannot be used or there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, ParseKeyError> {
        let mut keys = Vec::new();
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem) {
            keys.push(Self::from_der(&key.map_err(|_| ParseKeyError::Unknown)?)?);
        }
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| ParseKeyError::Unknown)?;
            let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| ParseKeyError::Unknown)?;
            keys.push(Self::from_der(parsed.public_key().raw)?);
        }
        if keys.is_empty() { Err(ParseKeyError::Unknown) } else { Ok(keys) }
    }

    /// From a `SubjectPublicKeyInfo`.
    fn from_der(der: &[u8]) -> Result<Self, ParseKeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| ParseKeyError::Unknown)?;
        match info.parsed().map_err(|_| ParseKeyError::Unknown)? {
            Parsed::RSA(key) => Ok(Self::Rsa { n: unsigned(key.modulus), e: unsigned(key.exponent) }),
            Parsed::EC(point) => Self::from_point(point.data().to_vec()),
            _ => Err(ParseKeyError::Unknown),
        }
    }

    fn from_point(point: Vec<u8>) -> Result<Self, ParseKeyError> {
        match point.len() {
            65 => Ok(Self::P256(point)),
            97 => Ok(Self::P384(point)),
            _ => Err(ParseKeyError::Unknown),
        }
    }

    /// A key of a key set; `None` where it is of a kind that is not known, or not for signatures.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let bytes = |field: &str| URL_SAFE_NO_PAD.decode(jwk[field].as_str()?.trim_end_matches('=')).ok();
        if jwk["use"].as_str().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let coordinate = |field: &str, size: usize| {
            let bytes = bytes(field).filter(|bytes| bytes.len() <= size)?;
            Some([vec![0; size - bytes.len()], bytes].concat())
        };
        let point = |size| Some([vec![4], coordinate("x", size)?, coordinate("y", size)?].concat());
        match (jwk["kty"].as_str()?, jwk["crv"].as_str().unwrap_or_default()) {
            ("RSA", _) => Some(Self::Rsa { n: unsigned(&bytes("n")?), e: unsigned(&bytes("e")?) }),
            ("EC", "P-256") => point(32).map(Self::P256),
            ("EC", "P-384") => point(48).map(Self::P384),
            _ => None,
        }
    }

    /// Whether `signature` is one of `content` by `algorithm` (RFC 7518) and this key. `none` and symmetric algorithms
    /// never are.
    #[must_use]
    pub fn verifies(&self, algorithm: &str, content: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                let parameters = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, content, signature).is_ok()
            }
            Self::P256(point) if algorithm == "ES256" => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(content, signature).is_ok()
            }
            Self::P384(point) if algorithm == "ES384" => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(content, signature).is_ok()
            }
            _ => false,
        }
    }

    /// The name that Kubernetes gives a key: the digest of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn key_id(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.to_der());
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// The `SubjectPublicKeyInfo`.
    fn to_der(&self) -> Vec<u8> {
        let curve = |oid: &str| der::constructed(tag::SEQUENCE, &[der::oid("1.2.840.10045.2.1"), der::oid(oid)]);
        let (algorithm, key) = match self {
            Self::P256(point) => (curve("1.2.840.10045.3.1.7"), point.clone()),
            Self::P384(point) => (curve("1.3.132.0.34"), point.clone()),
            Self::Rsa { n, e } => {
                let integer = |bytes: &[u8]| {
                    let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
                    der::value(tag::INTEGER, &[sign, bytes].concat())
                };
                let algorithm = der::constructed(tag::SEQUENCE, &[der::oid("1.2.840.113549.1.1.1"), vec![0x05, 0x00]]);
                (algorithm, der::constructed(tag::SEQUENCE, &[integer(n), integer(e)]))
            }
        };
        der::constructed(tag::SEQUENCE, &[algorithm, der::bits(&key)])
    }

    /// The key as a JSON Web Key.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let point = |point: &[u8]| {
            let half = point.len() / 2;
            (text(point.get(1..=half).unwrap_or_default()), text(point.get(half + 1..).unwrap_or_default()))
        };
        let mut jwk = match self {
            Self::Rsa { n, e } => json!({"kty": "RSA", "alg": "RS256", "n": text(n), "e": text(e)}),
            Self::P256(bytes) => {
                let (x, y) = point(bytes);
                json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y})
            }
            Self::P384(bytes) => {
                let (x, y) = point(bytes);
                json!({"kty": "EC", "crv": "P-384", "alg": "ES384", "x": x, "y": y})
            }
        };
        jwk["use"] = "sig".into();
        jwk["kid"] = self.key_id().into();
        jwk
    }
}

/// Without leading zeros, as ring wants integers.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Keys by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(String, PublicKey)>);

impl KeySet {
    /// Reads a JSON Web Key Set; keys of unknown kinds are left out.
    ///
    /// # Errors
    /// [`ParseKeyError::Set`].
    pub fn from_jwks(document: &Value) -> Result<Self, ParseKeyError> {
        let keys = document["keys"].as_array().ok_or(ParseKeyError::Set)?;
        let id = |jwk: &Value| jwk["kid"].as_str().unwrap_or_default().to_owned();
        Ok(Self(keys.iter().filter_map(|jwk| Some((id(jwk), PublicKey::from_jwk(jwk)?))).collect()))
    }

    /// Adds a key under Kubernetes' name for it.
    pub fn add(&mut self, key: PublicKey) {
        let id = key.key_id();
        if !self.0.iter().any(|(have, _)| *have == id) {
            self.0.push((id, key));
        }
    }

    /// The keys that may have signed what names `key_id`: those of that id, or all where none has it.
    pub fn candidates<'a>(&'a self, key_id: &'a str) -> impl Iterator<Item = &'a PublicKey> {
        let known = !key_id.is_empty() && self.0.iter().any(|(id, _)| id == key_id);
        self.0.iter().filter(move |(id, _)| !known || id == key_id).map(|(_, key)| key)
    }

    /// Whether a key has this id.
    #[must_use]
    pub fn has(&self, key_id: &str) -> bool {
        self.0.iter().any(|(id, _)| id == key_id)
    }

    /// The set as a JSON Web Key Set.
    #[must_use]
    pub fn to_jwks(&self) -> Value {
        json!({"keys": self.0.iter().map(|(_, key)| key.to_jwk()).collect::<Vec<_>>()})
    }
}
