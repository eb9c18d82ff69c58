//! Handing a request on to another server, and its answer back: what proxying to pods, services, nodes and aggregated
//! API servers have in common.
//!
//! Bodies stream in both directions and nothing is kept. When the other side switches protocols (WebSocket, SPDY), bytes
//! go through unchanged from then on. Each request has a connection of its own, which ends with it.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use minato_http::{BoxError, Peer};
use minato_scope::Scope;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::{RequestBody, ResponseBody};
use crate::passage::Held;

/// How long the other server may take to accept a connection, TLS included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that speak of one connection and not of the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
];

/// Headers that prove to this API server who asks: another server must not get them.
const CREDENTIALS: [&str; 4] = ["authorization", "impersonate-user", "impersonate-group", "impersonate-uid"];
/// WebSocket clients in browsers send their token as a subprotocol that begins so.
pub(crate) const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Where to connect.
#[derive(Clone)]
pub(crate) struct Backend {
    /// A name or an address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With TLS, by this configuration; and the name that the certificate must be for, where it is not the host.
    pub(crate) tls: Option<(Arc<ClientConfig>, Option<String>)>,
}

/// The other server did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("dial tcp {host}:{port}: {}", said(source))]
    Dial { host: String, port: u16, source: std::io::Error },
    #[error("dial tcp {host}:{port}: i/o timeout")]
    DialTimeout { host: String, port: u16 },
    #[error("{name:?} is not a name that a certificate can be for")]
    Name { name: String },
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// What Go says of the errors that people know.
fn said(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

impl Backend {
    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Sends `request`, whose URI is the path at the other server, and gives back the head of its answer; `scope` owns
    /// what of the connection outlives this call.
    pub(crate) async fn relay(
        &self,
        mut request: Request<RequestBody>,
        scope: &Scope,
    ) -> Result<Response<ResponseBody>, RelayError> {
        let from_client = hyper::upgrade::on(&mut request);
        let upgrades = is_upgrade(request.headers());
        strip_request(request.headers_mut(), upgrades);
        *request.version_mut() = http::Version::HTTP_11;
        let held = request.extensions_mut().remove::<Held>();
        request.extensions_mut().clear();
        let mut response = self.send(request).await?;
        let switched = upgrades && response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched {
            let from_backend = hyper::upgrade::on(&mut response);
            let ended = scope.clone();
            scope.spawn("tunnel", async move {
                let _held = held;
                let (Ok(client), Ok(backend)) = tokio::join!(from_client, from_backend) else { return };
                let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
                let result = tokio::select! {
                    result = tokio::io::copy_bidirectional(&mut client, &mut backend) => result.map(drop),
                    () = ended.cancelled() => Ok(()),
                };
                if let Err(error) = result {
                    tracing::debug!(%error, "a tunnel ended");
                }
            });
        }
        let (mut parts, body) = response.into_parts();
        if !switched {
            remove_hop_by_hop(&mut parts.headers);
            parts.headers.remove(header::UPGRADE);
            parts.headers.remove(header::TRANSFER_ENCODING);
        }
        parts.extensions.clear();
        Ok(Response::from_parts(parts, stream(body)))
    }

    /// Sends a request of this server's own, credentials and all, and gives back the answer.
    pub(crate) async fn ask(&self, request: Request<RequestBody>) -> Result<Response<ResponseBody>, RelayError> {
        let (parts, body) = self.send(request).await?.into_parts();
        Ok(Response::from_parts(parts, stream(body)))
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, RelayError> {
        let connected = tokio::time::timeout(DIAL_TIMEOUT, self.dial());
        let stream =
            connected.await.map_err(|_| RelayError::DialTimeout { host: self.host.clone(), port: self.port })??;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with its one response, which the client's connection owns, or with the tunnel that comes of it.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to another server ended");
            }
        });
        Ok(sender.send_request(request).await?)
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, RelayError> {
        let failed = |source| RelayError::Dial { host: self.host.clone(), port: self.port, source };
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        let _ = socket.set_nodelay(true);
        let Some((config, name)) = &self.tls else { return Ok(Box::new(socket)) };
        let name = name.as_ref().unwrap_or(&self.host);
        let server = ServerName::try_from(name.clone()).map_err(|_| RelayError::Name { name: name.clone() })?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(server, socket).await.map_err(failed)?;
        Ok(Box::new(stream))
    }
}

/// A plain or encrypted connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Whether the client wants another protocol on this connection.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// The comma-separated words of all headers `name`.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Leaves in `headers` what the other server may know.
fn strip_request(headers: &mut HeaderMap, upgrades: bool) {
    for name in CREDENTIALS {
        headers.remove(name);
    }
    let extra = |name: &HeaderName| name.as_str().starts_with("impersonate-extra-");
    for name in headers.keys().filter(|name| extra(name)).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    let protocols: Vec<&str> = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
    if protocols.iter().any(|protocol| protocol.starts_with(BEARER_PROTOCOL)) {
        let others: Vec<&str> = protocols.into_iter().filter(|p| !p.starts_with(BEARER_PROTOCOL)).collect();
        match HeaderValue::from_str(&others.join(", ")) {
            Ok(value) if !others.is_empty() => headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value),
            _ => headers.remove(header::SEC_WEBSOCKET_PROTOCOL),
        };
    }
    let upgrade = headers.remove(header::UPGRADE).filter(|_| upgrades);
    remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    // The length of a body is told anew, from the body itself.
    headers.remove(header::TRANSFER_ENCODING);
}

/// Appends the client's address to `X-Forwarded-For`.
pub(crate) fn append_forwarded_for(headers: &mut HeaderMap, peer: Option<&Peer>) {
    let Some(peer) = peer else { return };
    let before: Vec<&str> = tokens(headers, &HeaderName::from_static("x-forwarded-for")).collect();
    let client = peer.address.ip().to_string();
    let all = before.into_iter().chain([client.as_str()]).collect::<Vec<_>>().join(", ");
    set(headers, "x-forwarded-for", &all);
}

/// Sets a header, where `value` can be one.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: impl Display) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn stream(body: Incoming) -> ResponseBody {
    let chunks = body.into_data_stream();
    ResponseBody::chunks(futures::TryStreamExt::map_err(chunks, |error| -> BoxError { error.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn neither_credentials_nor_connection_headers_go_on() {
        let mut given = headers(&[
            ("authorization", "Bearer x"),
            ("impersonate-user", "alice"),
            ("impersonate-extra-scopes", "a"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "text/html"),
        ]);
        strip_request(&mut given, false);
        assert_eq!(given, headers(&[("accept", "text/html")]));
    }

    #[test]
    fn an_upgrade_keeps_its_headers_but_not_the_token() {
        let mut given = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"),
        ]);
        assert!(is_upgrade(&given));
        strip_request(&mut given, true);
        let kept =
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-protocol", "v5.channel.k8s.io")];
        assert_eq!(given, headers(&kept));
    }
}
