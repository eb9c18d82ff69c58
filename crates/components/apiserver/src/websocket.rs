//! Answers in the messages of a WebSocket (RFC 6455), for clients in browsers, which can follow nothing else.

use bytes::{Buf as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use minato_scope::Scope;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::body::{RequestBody, ResponseBody};
use crate::passage::Held;
use crate::relay::{BEARER_PROTOCOL, is_upgrade, tokens};
use crate::status::ApiError;

/// What a client says is of no concern: it may not say much.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Whether the client asks for a WebSocket.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    is_upgrade(headers) && tokens(headers, &header::UPGRADE).any(|name| name.eq_ignore_ascii_case("websocket"))
}

/// Sends the lines of `response`, each as a message, until its end or the client's.
pub(crate) fn lines(
    response: Response<ResponseBody>,
    mut request: Request<RequestBody>,
    scope: &Scope,
) -> Result<Response<ResponseBody>, ApiError> {
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
    let key = key.ok_or_else(|| ApiError::bad_request("the Sec-WebSocket-Key header is missing"))?;
    // The token is not for choosing; of the others a client that offers some must be answered one.
    let protocol = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL)
        .find(|protocol| !protocol.is_empty() && !protocol.starts_with(BEARER_PROTOCOL))
        .and_then(|protocol| HeaderValue::from_str(protocol).ok());
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    let upgraded = hyper::upgrade::on(&mut request);
    let held = request.extensions_mut().remove::<Held>();
    let ended = scope.clone();
    scope.spawn("websocket", async move {
        let _held = held;
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "a connection does not become a WebSocket"),
        };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
        tokio::select! {
            () = send(response.into_body(), socket) => {}
            () = ended.cancelled() => {}
        }
    });
    let mut response = Response::new(ResponseBody::Whole(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

async fn send(body: ResponseBody, socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) {
    let (mut sink, mut source) = socket.split();
    let sending = async {
        let mut chunks = body.into_data_stream();
        let mut rest = BytesMut::new();
        while let Some(Ok(chunk)) = chunks.next().await {
            rest.extend_from_slice(&chunk);
            while let Some(line) = take_line(&mut rest) {
                let text = Utf8Bytes::try_from(line).ok()?;
                sink.feed(Message::Text(text)).await.ok()?;
            }
            sink.flush().await.ok()?;
        }
        let farewell = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        sink.send(Message::Close(Some(farewell))).await.ok()
    };
    let listening = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        _ = sending => {}
        () = listening => {}
    }
}

/// The first line, with its end.
fn take_line(bytes: &mut BytesMut) -> Option<Bytes> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes.copy_to_bytes(end + 1);
    Some(line)
}
