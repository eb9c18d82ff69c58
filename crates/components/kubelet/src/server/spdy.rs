//! SPDY/3.1, which clients of Kubernetes spoke before WebSocket: many streams over one connection.
//!
//! [`frame`] is the language, [`session`] the conversation. A connection becomes SPDY by `Upgrade: SPDY/3.1`, and what
//! the streams mean is agreed on in `X-Stream-Protocol-Version`; or frames travel in a WebSocket (KEP-4006).

mod frame;
mod session;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::codec::{BytesCodec, Framed};

use super::reply::{Body, Refusal, empty};
use super::websocket::Socket;
pub(super) use frame::data;
pub(super) use session::{Opened, Session};

const NAME: &str = "SPDY/3.1";
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Whether a client asks for plain SPDY.
pub(super) fn is_wanted(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(NAME))
}

/// An accepted request for SPDY.
pub(super) struct Upgrade {
    /// What the streams mean.
    pub(super) protocol: &'static str,
    /// Whether the client has asked for a protocol at all: the first ones did not.
    asked: bool,
    request: Request<Incoming>,
}

/// Agrees on the first of the client's protocols that is among `supported`; on the last of these if it names none.
pub(super) fn negotiate(request: Request<Incoming>, supported: &[&'static str]) -> Result<Upgrade, Refusal> {
    let values = request.headers().get_all(PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let known = |offer: &&str| supported.iter().find(|protocol| *protocol == offer).copied();
    let agreed = offered.iter().find_map(known).or_else(|| supported.last().copied().filter(|_| offered.is_empty()));
    if let Some(protocol) = agreed {
        return Ok(Upgrade { protocol, asked: !offered.is_empty(), request });
    }
    let message = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        offered.join(" "),
        supported.join(" ")
    );
    let refusal = Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message);
    Err(supported.iter().fold(refusal, |refusal, protocol| refusal.with(ACCEPTED, HeaderValue::from_static(protocol))))
}

impl Upgrade {
    /// The answer, and the connection to come.
    pub(super) fn accept(self) -> (Response<Body>, impl Future<Output = Option<Connection>> + Send + 'static) {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static(NAME));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if self.asked {
            headers.insert(PROTOCOL, HeaderValue::from_static(self.protocol));
        }
        let connection = async move {
            match hyper::upgrade::on(self.request).await {
                Ok(upgraded) => Some(Connection(TokioIo::new(upgraded))),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "SPDY upgrade failed");
                    None
                }
            }
        };
        (response, connection)
    }
}

/// A connection that speaks SPDY from now on.
pub(super) struct Connection(TokioIo<hyper::upgrade::Upgraded>);

impl Connection {
    /// Runs `work` on the client's streams, until it ends or the client is gone.
    pub(super) async fn serve<W: Future<Output = ()>>(self, work: impl FnOnce(Session) -> W) {
        let (sink, source) = Framed::new(self.0, BytesCodec::new()).split();
        let source = source.scan((), |(), bytes| futures::future::ready(bytes.ok().map(BytesMut::freeze)));
        session::serve(source, sink, work).await;
    }
}

/// As [`Connection::serve`], with the frames in the messages of a WebSocket.
pub(super) async fn serve_in<W: Future<Output = ()>>(socket: Socket, work: impl FnOnce(Session) -> W) {
    let (sink, source) = socket.split();
    let sink = sink.with(|frame: Bytes| {
        futures::future::ready(Ok::<_, tokio_tungstenite::tungstenite::Error>(Message::Binary(frame)))
    });
    let source = source.scan((), |(), message| {
        futures::future::ready(match message {
            Ok(Message::Binary(data)) => Some(data),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(_) => Some(Bytes::new()),
        })
    });
    session::serve(source, sink, work).await;
}
