//! Authentication: who sends a request.
//!
//! Each way of proving a name is asked in upstream's order, and the first that knows the credentials decides: a trusted
//! proxy's headers, a client certificate, then a bearer token: of the static file, of a service account, of the bootstrap
//! Secrets, of an OpenID Connect issuer, of the webhook. A token that nobody knows is refused; a request without
//! credentials is anonymous.

mod bootstrap_token;
mod config;
mod impersonate;
mod legacy_token;
mod oidc;
mod request_header;
mod token_file;
mod webhook;

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Request, header};
use minato_http::Peer;
use minato_pki::{ClientAuthority, ClientChain, Token};

use crate::core::Core;
use crate::identity::{User, UserInfo};
use crate::relay::{BEARER_PROTOCOL, tokens};
use crate::status::ApiError;
use crate::websocket;

pub use config::{Anonymous, Authentication, AuthenticationError, RequestHeaders};
pub use oidc::{AuthenticationFile, AuthenticationFileError, ClaimOrExpression, JwtIssuer, OidcFlags, Rule};
pub use token_file::{StaticTokens, TokenFileError};
pub use webhook::TokenWebhookOptions;

use oidc::Issuer;
use webhook::TokenWebhook;

/// What a request shows of who sends it.
#[derive(Clone, Copy)]
pub(crate) struct Credentials<'a> {
    /// Put there by the in-process transport.
    user: Option<&'a User>,
    peer: Option<&'a Peer>,
    headers: &'a HeaderMap,
    path: &'a str,
}

impl<'a> Credentials<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        let extensions = request.extensions();
        Self { user: extensions.get(), peer: extensions.get(), headers: request.headers(), path: request.uri().path() }
    }

    /// The bearer token; other schemes are nobody's business (as upstream, they make nobody of the sender).
    fn bearer(&self) -> Option<&'a str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
        let mut parts = value.splitn(3, ' ');
        let scheme = parts.next()?;
        let token = parts.next().filter(|token| !token.is_empty())?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    /// The bearer token among the protocols of a WebSocket: browsers cannot set other headers.
    fn websocket_bearer(&self) -> Result<Option<String>, ApiError> {
        if !websocket::is_wanted(self.headers) {
            return Ok(None);
        }
        let (bearers, others): (Vec<&str>, Vec<&str>) = tokens(self.headers, &header::SEC_WEBSOCKET_PROTOCOL)
            .filter(|protocol| !protocol.is_empty())
            .partition(|protocol| protocol.starts_with(BEARER_PROTOCOL));
        let [bearer] = bearers.as_slice() else {
            return if bearers.is_empty() { Ok(None) } else { Err(ApiError::unauthorized()) };
        };
        let encoded = bearer.strip_prefix(BEARER_PROTOCOL).unwrap_or_default();
        let token = URL_SAFE_NO_PAD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match token {
            // Another protocol is left to agree on: the token is none that the server could choose.
            Some(token) if !others.is_empty() => Ok(Some(token).filter(|token| !token.is_empty())),
            _ => Err(ApiError::unauthorized()),
        }
    }
}

/// Everything that can tell who somebody is, besides what is in memory.
pub(crate) struct Authenticators {
    /// Read again when its file changes.
    configured: ArcSwap<Configured>,
    tokens: StaticTokens,
    proxy: Option<Proxy>,
    webhook: Option<TokenWebhook>,
}

/// What an `AuthenticationConfiguration` says.
struct Configured {
    anonymous: Anonymous,
    issuers: Vec<Arc<Issuer>>,
}

impl Configured {
    fn new(anonymous: &Anonymous, issuers: &[JwtIssuer]) -> Result<Self, AuthenticationError> {
        let issuers = issuers.iter().map(|issuer| Issuer::new(issuer).map(Arc::new));
        Ok(Self { anonymous: anonymous.clone(), issuers: issuers.collect::<Result<_, _>>()? })
    }
}

/// A proxy that says who its users are.
struct Proxy {
    headers: RequestHeaders,
    authority: ClientAuthority,
    /// Of the clients themselves: a proxy's certificate is no client's.
    clients: ClientAuthority,
}

impl Authenticators {
    pub(crate) fn new(config: &Authentication) -> Result<Self, AuthenticationError> {
        let proxy = match &config.request_headers {
            Some(headers) => Some(Proxy {
                headers: headers.clone(),
                authority: ClientAuthority::new(&headers.client_ca_pem)?,
                clients: ClientAuthority::new(&config.client_ca_pem)?,
            }),
            None => None,
        };
        Ok(Self {
            configured: ArcSwap::from_pointee(Configured::new(&config.anonymous, &config.issuers)?),
            tokens: config.tokens.clone(),
            proxy,
            webhook: config.webhook.as_ref().map(TokenWebhook::new).transpose()?,
        })
    }

    /// Who may come without credentials, and whose tokens are known, from now on.
    pub(crate) fn configure(&self, anonymous: &Anonymous, issuers: &[JwtIssuer]) -> Result<(), AuthenticationError> {
        self.configured.store(Arc::new(Configured::new(anonymous, issuers)?));
        Ok(())
    }
}

impl Core {
    /// The user behind a request.
    pub(crate) async fn authenticate(&self, credentials: Credentials<'_>) -> Result<User, ApiError> {
        let user = self.known(credentials).await?;
        match impersonate::impersonated(credentials.headers)? {
            None => Ok(user),
            Some(other) => self.impersonate(&user, other),
        }
    }

    async fn known(&self, credentials: Credentials<'_>) -> Result<User, ApiError> {
        if let Some(user) = credentials.user {
            return Ok(user.clone());
        }
        if let Some(peer) = credentials.peer
            && let Some(user) = self.by_certificate(&peer.chain, credentials.headers)?
        {
            return Ok(user);
        }
        if let Some(token) = credentials.bearer() {
            let known = self.by_token(token, &[]).await;
            return known.map(|(user, _)| user).ok_or_else(ApiError::unauthorized);
        }
        if let Some(token) = credentials.websocket_bearer()? {
            let known = self.by_token(&token, &[]).await;
            return known.map(|(user, _)| user).ok_or_else(ApiError::unauthorized);
        }
        if self.authenticators.configured.load().anonymous.admits(credentials.path) {
            return Ok(User::anonymous());
        }
        Err(ApiError::unauthorized())
    }

    fn by_certificate(&self, chain: &ClientChain, headers: &HeaderMap) -> Result<Option<User>, ApiError> {
        let Some(identity) = chain.identity() else { return Ok(None) };
        if let Some(proxy) = &self.authenticators.proxy {
            if let Some(user) = proxy.headers.user(headers)
                && proxy.authority.vouches_for(chain.certificates())
                && identity.as_ref().is_ok_and(|identity| proxy.headers.allows(&identity.user))
            {
                return Ok(Some(user));
            }
            if !proxy.clients.vouches_for(chain.certificates()) {
                return Ok(None);
            }
        }
        let identity = identity.map_err(|_| ApiError::unauthorized())?;
        let info = UserInfo { name: identity.user.clone(), groups: identity.groups.clone(), ..UserInfo::default() };
        Ok(Some(User::authenticated(info)))
    }

    /// The user that `token` speaks for, with those of `audiences` that it is for; empty: the API server's own.
    pub(crate) async fn by_token(&self, token: &str, audiences: &[String]) -> Option<(User, Vec<String>)> {
        // What knows of no audiences is for the API server alone.
        let for_server = audiences.is_empty() || audiences.contains(&self.issuer);
        let own = || if audiences.is_empty() { Vec::new() } else { vec![self.issuer.clone()] };
        if for_server && let Some(user) = self.authenticators.tokens.user(token) {
            return Some((user, own()));
        }
        if let Some(known) = self.authenticate_token(token, audiences) {
            return Some(known);
        }
        if for_server && let Some(user) = self.by_legacy_token(token).await {
            return Some((user, own()));
        }
        if for_server && let Some(user) = bootstrap_token::user(self.memory(), token) {
            return Some((user, own()));
        }
        if let Some(known) = self.by_issuer(token, audiences).await {
            return Some(known);
        }
        self.authenticators.webhook.as_ref()?.user(self.memory(), token, audiences, &self.issuer).await
    }

    async fn by_issuer(&self, token: &str, audiences: &[String]) -> Option<(User, Vec<String>)> {
        let configured = self.authenticators.configured.load();
        if configured.issuers.is_empty() {
            return None;
        }
        let token = Token::parse(token).ok()?;
        let issuer = configured.issuers.iter().find(|issuer| issuer.made(&token)).map(Arc::clone)?;
        drop(configured);
        let (user, found) = issuer
            .user(self.memory(), &token)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the token of an OpenID Connect issuer is refused"))
            .ok()?;
        let shared: Vec<String> = found.into_iter().filter(|audience| audiences.contains(audience)).collect();
        (audiences.is_empty() || !shared.is_empty()).then_some((user, shared))
    }
}
