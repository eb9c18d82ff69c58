//! How users may prove who they are.

use super::oidc::{AuthenticationFileError, JwtIssuer};
use super::token_file::StaticTokens;
use super::webhook::TokenWebhookOptions;
use crate::kubeconfig::KubeconfigError;

/// Settings of authentication; the default knows client certificates, service accounts and bootstrap tokens.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Who may come without credentials.
    pub anonymous: Anonymous,
    /// Tokens of the static token file.
    pub tokens: StaticTokens,
    /// PEM of the authorities of client certificates; the TLS layer has checked against these and those of the proxies.
    pub client_ca_pem: String,
    /// Proxies that authenticate their users themselves.
    pub request_headers: Option<RequestHeaders>,
    /// Issuers of OpenID Connect tokens.
    pub issuers: Vec<JwtIssuer>,
    /// Who is asked about tokens that nobody else knows.
    pub webhook: Option<TokenWebhookOptions>,
}

/// Requests without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    /// Whether there may be any.
    pub enabled: bool,
    /// If not empty, on these paths alone.
    pub paths: Vec<String>,
}

impl Default for Anonymous {
    fn default() -> Self {
        Self { enabled: true, paths: Vec::new() }
    }
}

impl Anonymous {
    pub(super) fn admits(&self, path: &str) -> bool {
        self.enabled && (self.paths.is_empty() || self.paths.iter().any(|admitted| admitted == path))
    }
}

/// Headers by which a proxy names its user, and who may be such a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// PEM of the authorities of proxies' certificates.
    pub client_ca_pem: String,
    /// Common names of proxies; empty: any.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name; the first that is there counts.
    pub username: Vec<String>,
    /// Headers with the user's id.
    pub uid: Vec<String>,
    /// Headers with the user's groups.
    pub group: Vec<String>,
    /// How the names of headers with anything else begin.
    pub extra_prefix: Vec<String>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// Authorities that are none.
    #[error("the certificates of the client authorities cannot be used")]
    Authority(#[from] minato_pki::TlsError),
    /// An issuer that makes no sense.
    #[error("authentication-config: {0}")]
    Issuer(#[from] AuthenticationFileError),
    /// The webhook's kubeconfig.
    #[error("authentication-token-webhook-config-file: {0}")]
    Webhook(#[from] KubeconfigError),
}
