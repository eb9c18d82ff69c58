//! OpenID Connect: tokens of other issuers, by `AuthenticationConfiguration` (KEP-3331).
//!
//! An issuer's keys are fetched when the first of its tokens comes, and again when a token names a key that is not among
//! them. What the claims mean for Kubernetes is [`claims`]' to say.

mod claims;
mod config;
mod flags;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use minato_mvcc::Memory;
use minato_pki::{KeySet, Token};
use parking_lot::RwLock;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::identity::User;
use crate::webhook::{Endpoint, tls};
use claims::{ClaimError, Mappings};

pub use config::{AuthenticationFile, AuthenticationFileError, ClaimOrExpression, JwtIssuer, Rule};
pub use flags::OidcFlags;

/// Algorithms of signatures that are accepted.
pub(super) const ALGORITHMS: [&str; 8] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"];
/// How long fetching may take.
const LIMIT: Duration = Duration::from_secs(10);
/// An unknown key makes the keys be fetched again, but not more often than this.
const FETCH_INTERVAL: Duration = Duration::from_secs(2);
/// Seconds by which clocks may differ when a token begins.
const NOT_BEFORE_LEEWAY: f64 = 300.0;

/// One issuer.
pub(super) struct Issuer {
    url: String,
    audiences: Vec<String>,
    algorithms: Vec<String>,
    discovery: String,
    tls: ClientConfig,
    mappings: Mappings,
    keys: RwLock<Arc<KeySet>>,
    fetched: Mutex<Option<Instant>>,
}

/// Why a token of an issuer is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum OidcError {
    #[error("oidc: the algorithm {0:?} is not supported")]
    Algorithm(String),
    #[error("oidc: failed to verify signature: no key of the issuer made it")]
    Signature,
    #[error("oidc: token is expired")]
    Expired,
    #[error("oidc: current time is before the nbf (not before) time")]
    Early,
    #[error("oidc: expected audience in {expected:?} got {found:?}")]
    Audience { expected: Vec<String>, found: Vec<String> },
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("oidc: failed to fetch {what}: {reason}")]
    Fetch { what: String, reason: String },
}

impl Issuer {
    pub(super) fn new(config: &JwtIssuer) -> Result<Self, AuthenticationFileError> {
        let discovery = match &config.discovery_url {
            Some(url) => url.clone(),
            None => format!("{}/.well-known/openid-configuration", config.url.trim_end_matches('/')),
        };
        let tls = tls(config.certificate_authority.as_deref(), None);
        let tls = tls.map_err(|error| AuthenticationFileError::Invalid(format!("jwt: {}: {error}", config.url)))?;
        Ok(Self {
            url: config.url.clone(),
            audiences: config.audiences.clone(),
            algorithms: config.algorithms.clone(),
            discovery,
            tls,
            mappings: Mappings::new(config)?,
            keys: RwLock::default(),
            fetched: Mutex::new(None),
        })
    }

    /// Whether this issuer says that it made `token`.
    pub(super) fn made(&self, token: &Token<'_>) -> bool {
        token.claims["iss"] == self.url.as_str()
    }

    /// The user of a token, with the audiences that it is for.
    pub(super) async fn user(&self, memory: &Memory, token: &Token<'_>) -> Result<(User, Vec<String>), OidcError> {
        let asked = self.algorithms.is_empty() || self.algorithms.contains(&token.algorithm);
        if !asked || !ALGORITHMS.contains(&token.algorithm.as_str()) {
            return Err(OidcError::Algorithm(token.algorithm.clone()));
        }
        let found: Vec<String> = match &token.claims["aud"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        if !found.iter().any(|audience| self.audiences.contains(audience)) {
            return Err(OidcError::Audience { expected: self.audiences.clone(), found });
        }
        let now = Timestamp::now().as_second() as f64;
        if token.claims["exp"].as_f64().is_none_or(|end| end <= now) {
            return Err(OidcError::Expired);
        }
        if token.claims["nbf"].as_f64().is_some_and(|begin| begin > now + NOT_BEFORE_LEEWAY) {
            return Err(OidcError::Early);
        }
        if !self.is_signed(token) {
            self.fetch_keys(memory).await?;
            if !self.is_signed(token) {
                return Err(OidcError::Signature);
            }
        }
        Ok((self.mappings.user(&token.claims)?, found))
    }

    fn is_signed(&self, token: &Token<'_>) -> bool {
        let keys = Arc::clone(&self.keys.read());
        keys.candidates(&token.key_id).any(|key| token.is_signed_by(key))
    }

    /// Fetches the keys, unless that was just done; whoever comes meanwhile waits for the same.
    async fn fetch_keys(&self, memory: &Memory) -> Result<(), OidcError> {
        let mut fetched = self.fetched.lock().await;
        if fetched.is_some_and(|at| at.elapsed() < FETCH_INTERVAL) {
            return Ok(());
        }
        let configuration = self.get(memory, &self.discovery).await?;
        let failed = |what: &str, reason: String| OidcError::Fetch { what: what.to_owned(), reason };
        if configuration["issuer"] != self.url.as_str() {
            let found = configuration["issuer"].as_str().unwrap_or_default();
            let reason = format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {found:?}",
                self.url
            );
            return Err(failed(&self.discovery, reason));
        }
        let keys_url = configuration["jwks_uri"].as_str().unwrap_or_default();
        let document = self.get(memory, keys_url).await?;
        let keys = KeySet::from_jwks(&document).map_err(|error| failed(keys_url, error.to_string()))?;
        *self.keys.write() = Arc::new(keys);
        *fetched = Some(Instant::now());
        Ok(())
    }

    async fn get(&self, memory: &Memory, url: &str) -> Result<Value, OidcError> {
        let failed = |reason: String| OidcError::Fetch { what: url.to_owned(), reason };
        if !url.starts_with("https://") {
            return Err(failed("it must begin with https://".to_owned()));
        }
        let endpoint = Endpoint::of_url(url, Some(self.tls.clone()), None);
        let endpoint = endpoint.map_err(|error| failed(error.to_string()))?;
        let bytes = endpoint.get(memory, LIMIT).await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }
}
