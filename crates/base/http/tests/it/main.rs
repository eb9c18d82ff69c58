//! Clients that mean no good: each is bounded, and others are served meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use minato_http::Limits;
use minato_pki::Authority;
use minato_scope::Scope;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than any limit of the test's server; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that is being sent.
struct Sent(Arc<AtomicUsize>);

impl Sent {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Server {
    address: SocketAddr,
    authority: Authority,
    scope: Scope,
    /// Answers without end that are being sent.
    endless: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "test").unwrap();
        let identity = authority.issue_server("test", &["localhost".to_owned()], &[]).unwrap();
        let tls = Arc::new(minato_pki::server_config(&identity, authority.certificate_pem()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            handshake_timeout: Duration::from_millis(300),
            header_timeout: Duration::from_millis(300),
            stall_timeout: Duration::from_millis(300),
            ..Limits::default()
        };
        let endless = Arc::new(AtomicUsize::new(0));
        let sending = Arc::clone(&endless);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let body = match request.uri().path() {
                "/endless" => {
                    let counted = Sent::begin(&sending);
                    let chunks = futures::stream::repeat_with(move || {
                        let _counted = &counted;
                        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 65_536])))
                    });
                    StreamBody::new(chunks).boxed()
                }
                _ => Full::new(Bytes::from_static(b"fine")).boxed(),
            };
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let scope = Scope::root("test");
        let accepting = scope.clone();
        scope.spawn("serve", async move {
            minato_http::serve(listener, tls, service, limits, accepting).await;
        });
        Self { address, authority, scope, endless, _directory: directory }
    }

    async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let tls: ClientConfig = minato_pki::client_config(self.authority.certificate_pem(), None, &[protocol]).unwrap();
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, socket).await.unwrap()
    }

    /// A decent client is served.
    async fn serves(&self) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect("http/1.1").await)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::OK);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// Reads until the server closes the connection.
async fn closed(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&said));
    said
}

#[tokio::test]
async fn whoever_is_slow_to_say_what_they_want_is_sent_away() {
    let server = Server::start().await;
    // No handshake at all.
    closed(TcpStream::connect(server.address).await.unwrap()).await;
    for (protocol, said) in
        [("http/1.1", ""), ("http/1.1", "GET / HTTP/1.1\r\nhost: a\r\nx-"), ("h2", ""), ("h2", "PRI * HTTP/2.0\r\n")]
    {
        let mut stream = server.connect(protocol).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        closed(stream).await;
    }
    server.serves().await;
}

#[tokio::test]
async fn whoever_stops_reading_is_not_kept() {
    let server = Server::start().await;
    let asks = b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut deaf = server.connect("http/1.1").await;
    deaf.write_all(asks).await.unwrap();
    let mut reader = server.connect("http/1.1").await;
    reader.write_all(asks).await.unwrap();
    let mut first = [0; 16];
    deaf.read_exact(&mut first).await.unwrap();
    reader.read_exact(&mut first).await.unwrap();
    assert_eq!(server.endless.load(Ordering::SeqCst), 2);
    // One who reads on is served all the while.
    let mut buffer = vec![0; 65_536];
    let waited = tokio::time::timeout(PATIENCE, async {
        while server.endless.load(Ordering::SeqCst) != 1 {
            reader.read_exact(&mut buffer).await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "the answer to a client that does not read is still being sent");
    reader.read_exact(&mut buffer).await.unwrap();
    server.serves().await;
}

#[tokio::test]
async fn headers_have_a_bound() {
    let server = Server::start().await;
    let floods = [
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(200_000)),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(1_000)),
    ];
    for flood in floods {
        let stream = server.connect("http/1.1").await;
        let (read, mut write) = tokio::io::split(stream);
        // The server may close before everything is written.
        let _ = write.write_all(flood.as_bytes()).await;
        let said = String::from_utf8_lossy(&closed(read).await).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(server.connect("h2").await)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::get("https://localhost/");
    for index in 0..100 {
        request = request.header(format!("x-{index}"), "a".repeat(1_000));
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert!(answer.map_or(true, |answer| answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    server.serves().await;
}

#[tokio::test]
async fn requests_that_are_reset_at_once_cost_their_sender_the_connection_at_most() {
    let server = Server::start().await;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(server.connect("h2").await)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2_000 {
        if sender.ready().await.is_err() {
            break;
        }
        let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
        // Dropping the answer's future resets the stream.
        drop(sender.send_request(request));
    }
    server.serves().await;
}
