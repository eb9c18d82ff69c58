//! JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518): the service accounts' credentials.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{PkiError, read_or_create};
use crate::public_key::{KeySet, PublicKey};

/// Signs the cluster's own tokens, and verifies those of this key and of earlier ones.
pub struct SigningKey {
    key: EcdsaKeyPair,
    key_id: String,
    /// This key and the others whose tokens are still good.
    accepted: KeySet,
    random: SystemRandom,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not three base64url parts with a JSON header.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with another algorithm or key.
    #[error("the token was not signed by this cluster")]
    ForeignKey,
    /// The signature does not fit the content.
    #[error("the token's signature is wrong")]
    Signature,
    /// Signing failed.
    #[error("failed to sign the token")]
    Sign,
}

#[derive(Serialize, serde::Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl SigningKey {
    /// The key in `path` (PKCS #8, PEM); made there if absent.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn load_or_create(path: &Path) -> Result<Self, PkiError> {
        let text = read_or_create(path, || {
            let random = SystemRandom::new();
            let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(|e| PkiError::Generate { what: "the token signing key", reason: e.to_string() })?;
            let body = STANDARD.encode(document.as_ref());
            Ok(format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
        })?;
        let malformed = |reason: String| PkiError::Malformed {
            path: path.to_owned(),
            expected: "a P-256 private key in PEM",
            reason,
        };
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body).map_err(|e| malformed(e.to_string()))?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random)
            .map_err(|e| malformed(e.to_string()))?;
        let public = PublicKey::P256(key.public_key().as_ref().to_vec());
        let key_id = public.key_id();
        let mut accepted = KeySet::default();
        accepted.add(public);
        Ok(Self { key_id, key, accepted, random })
    }

    /// Accepts tokens of `key` too: one that signed before this one, or will sign after it.
    pub fn accept(&mut self, key: PublicKey) {
        self.accepted.add(key);
    }

    /// A compact JWS of `claims`.
    ///
    /// # Errors
    /// [`TokenError::Sign`].
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, TokenError> {
        let header = Header { alg: "ES256".to_owned(), kid: self.key_id.clone() };
        let part = |bytes: Result<Vec<u8>, serde_json::Error>| bytes.map(|b| URL_SAFE_NO_PAD.encode(b));
        let head = part(serde_json::to_vec(&header)).map_err(|_| TokenError::Sign)?;
        let body = part(serde_json::to_vec(claims)).map_err(|_| TokenError::Sign)?;
        let content = format!("{head}.{body}");
        let signature = self.key.sign(&self.random, content.as_bytes()).map_err(|_| TokenError::Sign)?;
        Ok(format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of `token`, if this key signed it. Times and audiences are the caller's to check.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify<C: DeserializeOwned>(&self, token: &str) -> Result<C, TokenError> {
        let token = Token::parse(token)?;
        if !self.accepted.candidates(&token.key_id).any(|key| token.is_signed_by(key)) {
            let known = self.accepted.has(&token.key_id);
            return Err(if known { TokenError::Signature } else { TokenError::ForeignKey });
        }
        serde_json::from_value(token.claims).map_err(|_| TokenError::Malformed)
    }

    /// The public keys as a JSON Web Key Set (RFC 7517), for the issuer's discovery document.
    #[must_use]
    pub fn key_set(&self) -> serde_json::Value {
        self.accepted.to_jwks()
    }
}

/// A token in its parts; nothing of it is verified yet.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    /// The algorithm that it names.
    pub algorithm: String,
    /// The key that it names; may be empty.
    pub key_id: String,
    /// The claims.
    pub claims: serde_json::Value,
    content: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a compact JWS (RFC 7515) apart.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (content, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, body) = content.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| TokenError::Malformed)?;
        let claims = serde_json::from_slice(&decode(body)?).map_err(|_| TokenError::Malformed)?;
        Ok(Self { algorithm: header.alg, key_id: header.kid, claims, content, signature: decode(signature)? })
    }

    /// Whether `key` signed it by the algorithm that it names.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.algorithm, self.content.as_bytes(), &self.signature)
    }
}

/// A digest (SHA-256) by which a secret can be remembered without keeping it.
#[must_use]
pub fn digest_of(secret: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, secret).as_ref().to_vec()
}

/// A JWS (HS256) of `content` without the content itself, as bootstrap tokens sign `cluster-info`.
#[must_use]
pub fn detached_signature(key_id: &str, secret: &str, content: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(serde_json::json!({"alg": "HS256", "kid": key_id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_by_its_key_alone() {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        let token = key.sign(&serde_json::json!({"sub": "a"})).unwrap();
        let claims: serde_json::Value = key.verify(&token).unwrap();
        assert_eq!(claims["sub"], "a");

        let again = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        assert!(again.verify::<serde_json::Value>(&token).is_ok());
        let other = SigningKey::load_or_create(&directory.path().join("other.key")).unwrap();
        assert_eq!(other.verify::<serde_json::Value>(&token), Err(TokenError::ForeignKey));

        // After a rotation the old key's tokens are accepted as long as it is listed.
        let mut rotated = SigningKey::load_or_create(&directory.path().join("other.key")).unwrap();
        let old = KeySet::from_jwks(&key.key_set()).unwrap();
        for public in old.candidates("") {
            rotated.accept(public.clone());
        }
        assert!(rotated.verify::<serde_json::Value>(&token).is_ok());
        assert_eq!(rotated.key_set()["keys"].as_array().map(Vec::len), Some(2));

        let mut forged = token.clone();
        let body = URL_SAFE_NO_PAD.encode(r#"{"sub":"b"}"#);
        let parts: Vec<&str> = token.split('.').collect();
        forged.clear();
        forged.push_str(&[parts[0], &body, parts[2]].join("."));
        assert_eq!(key.verify::<serde_json::Value>(&forged), Err(TokenError::Signature));
        for text in ["", ".", "..", "a.b.c", "ä.ö.ü"] {
            assert!(key.verify::<serde_json::Value>(text).is_err(), "{text}");
        }
    }
}
