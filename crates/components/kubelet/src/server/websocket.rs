//! Taking over a connection as a WebSocket.

use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::reply::{Body, Refusal, empty};

/// A client may not send bigger messages than this.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The connection, once the answer has been sent.
pub(super) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The last message of a conversation that went well: clients take an end without a code for a failure.
pub(super) fn farewell() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// An accepted WebSocket request.
pub(super) struct Upgrade {
    /// The agreed subprotocol.
    pub(super) protocol: &'static str,
    key: String,
    request: Request<Incoming>,
}

/// Whether a client asks for a WebSocket.
pub(super) fn is_wanted(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// Agrees on the first of `supported` that the client offers. The protocol `""` is for clients that offer none.
pub(super) fn negotiate(request: Request<Incoming>, supported: &[&'static str]) -> Result<Upgrade, Refusal> {
    let text = |name: header::HeaderName| {
        let values = request.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
    };
    if !is_wanted(&request) {
        return Err(Refusal::bad_request("unable to upgrade: only WebSocket and SPDY/3.1 are spoken here"));
    }
    let offered = text(header::SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
    let protocol = supported.iter().find(|protocol| offered.contains(*protocol)).copied();
    let Some(protocol) = protocol else {
        let message = format!("unable to upgrade: none of the protocols {offered:?} is supported, only {supported:?}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message));
    };
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(Refusal::bad_request("the Sec-WebSocket-Key header is missing"));
    }
    Ok(Upgrade { protocol, key, request })
}

impl Upgrade {
    /// The answer, and the socket to come.
    pub(super) fn accept(self) -> (Response<Body>, impl Future<Output = Option<Socket>> + Send + 'static) {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        if !self.protocol.is_empty() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(self.protocol));
        }
        if let Ok(accept) = header::HeaderValue::from_str(&derive_accept_key(self.key.as_bytes())) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        let socket = async move {
            let upgraded = match hyper::upgrade::on(self.request).await {
                Ok(upgraded) => upgraded,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "WebSocket upgrade failed");
                    return None;
                }
            };
            let config = WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX));
            Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
        };
        (response, socket)
    }
}
