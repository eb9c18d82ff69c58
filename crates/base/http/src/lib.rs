//! HTTP/1.1 and HTTP/2 over TLS on one port: the server loop that the API server and the kubelet share.
//!
//! [`serve`] accepts connections until its scope is cancelled, negotiates the protocol by ALPN, and hands every
//! request to a `tower::Service` with the [`Peer`] among the request's extensions. On shutdown it stops accepting,
//! tells the clients (HTTP/2 GOAWAY, `Connection: close`) and lets running requests end; the caller bounds how long
//! by shutting the scope down with a deadline.

mod opening;
mod stall;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use minato_pki::ClientChain;
use minato_scope::Scope;
use opening::Opening;
use stall::Stall;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// Whatever goes wrong while a body is produced.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The length of what an HTTP/2 client sends first (RFC 9113, section 3.4).
const HTTP2_PREFACE_BYTES: usize = 24;
/// Requests that a client has begun and reset before they were looked at; more end the connection (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 20;

/// Who is at the other end of the connection; an extension of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address of the client's end of the connection.
    pub address: SocketAddr,
    /// The client's certificate chain, verified against the client CA; empty when it sent none.
    pub chain: Arc<ClientChain>,
}

tokio::task_local! {
    static REQUEST_ID: HeaderValue;
}

/// Runs `future`, which is the work on the request `id`: what is logged meanwhile can be told to belong to it.
pub async fn in_request<F: Future>(id: HeaderValue, future: F) -> F::Output {
    REQUEST_ID.scope(id, future).await
}

/// Gives the id of the request that the current task works on to `with`, if it works on one.
pub fn request_id<T>(with: impl FnOnce(&str) -> T) -> Option<T> {
    REQUEST_ID.try_with(|id| id.to_str().ok().map(with)).ok().flatten()
}

/// Bounds on what a client may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; more wait in the listen queue.
    pub connections_max: usize,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time for a request's header to arrive.
    pub header_timeout: Duration,
    /// Time for a client to take something of what is sent to it, unless the connection has become a tunnel.
    pub stall_timeout: Duration,
    /// Requests under way at once on one HTTP/2 connection.
    pub streams_per_connection_max: u32,
    /// Size of a request's header, in bytes.
    pub header_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(120),
            streams_per_connection_max: 1_000,
            header_bytes_max: 64 * 1024,
        }
    }
}

/// Serves `service` on `listener` until `scope` is cancelled; connections are tasks of `scope`.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    service: S,
    limits: Limits,
    scope: Scope,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = scope.cancelled() => return,
        };
        let Ok(slot) = slot else { return };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or memory: what is open goes on, and the next accept may succeed.
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = scope.cancelled() => return,
        };
        let connection = connection(stream, address, acceptor.clone(), service.clone(), limits, scope.clone());
        scope.spawn("connection", async move {
            connection.await;
            drop(slot);
        });
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    service: S,
    limits: Limits,
    scope: Scope,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(limits.handshake_timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "TLS handshake timed out");
            return;
        }
    };
    let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = ClientChain::new(shown.iter().map(|certificate| certificate.clone().into_owned()).collect());
    let peer = Peer { address, chain: Arc::new(chain) };
    let is_tunnel = Arc::new(AtomicBool::new(false));
    let becomes_tunnel = Arc::clone(&is_tunnel);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let mut service = service.clone();
        // The services behind this loop are always ready: they bound their own work and answer 429 when full.
        let answered = service.call(request);
        let becomes_tunnel = Arc::clone(&becomes_tunnel);
        async move {
            let answered = answered.await;
            if answered.as_ref().is_ok_and(|response| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
                becomes_tunnel.store(true, Ordering::Relaxed);
            }
            answered
        }
    });
    // What was negotiated is spoken: looking for HTTP/2's first bytes instead would wait for them without an end.
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if speaks_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes_max as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX);
    let stream = Stall::new(stream, limits.stall_timeout, is_tunnel);
    let stream = Opening::new(stream, if speaks_http2 { HTTP2_PREFACE_BYTES } else { 1 }, limits.header_timeout);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = scope.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, error, "connection ended with an error");
    }
}
