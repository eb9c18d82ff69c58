//! JSON Web Tokens signed with ES256 (RFC 7515, RFC 7518): the service accounts' credentials.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{PkiError, read_or_create};

/// Signs and verifies the cluster's own tokens.
pub struct SigningKey {
    key: EcdsaKeyPair,
    key_id: String,
    random: SystemRandom,
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
        let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key().as_ref());
        Ok(Self { key_id: URL_SAFE_NO_PAD.encode(digest), key, random })
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
        let (content, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, body) = content.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != "ES256" || header.kid != self.key_id {
            return Err(TokenError::ForeignKey);
        }
        let public = ring::signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(content.as_bytes(), &decode(signature)?).map_err(|_| TokenError::Signature)?;
        serde_json::from_slice(&decode(body)?).map_err(|_| TokenError::Malformed)
    }

    /// The public half as a JSON Web Key Set (RFC 7517), for the issuer's discovery document.
    #[must_use]
    pub fn key_set(&self) -> serde_json::Value {
        // An uncompressed P-256 point: 0x04, x (32 bytes), y (32 bytes).
        let point = self.key.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32.min(point.len().saturating_sub(1)));
        serde_json::json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
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
