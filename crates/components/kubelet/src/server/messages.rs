//! A body in the messages of a WebSocket, for clients that can open nothing else: bytes (`binary.k8s.io`, or no protocol
//! at all) or text (`base64.binary.k8s.io`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio_tungstenite::tungstenite::Message;

use super::Server;
use super::reply::{Body, Refusal};
use super::websocket::{Socket, farewell, negotiate};

const PROTOCOLS: [&str; 3] = ["binary.k8s.io", "base64.binary.k8s.io", ""];

impl Server {
    /// Switches protocols and sends the body of `response` on.
    pub(super) fn send_in_messages(
        &self,
        response: Response<Body>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let upgrade = negotiate(request, &PROTOCOLS)?;
        let base64 = upgrade.protocol == PROTOCOLS[1];
        let (switched, socket) = upgrade.accept();
        self.serve_streams("messages", async move {
            if let Some(socket) = socket.await {
                send(response.into_body(), socket, base64).await;
            }
        });
        Ok(switched)
    }
}

async fn send(body: Body, socket: Socket, base64: bool) {
    let (mut sink, mut source) = socket.split();
    let pack = |bytes: Bytes| match base64 {
        true => Message::text(BASE64.encode(bytes)),
        false => Message::Binary(bytes),
    };
    let sending = async {
        // As upstream: an empty message tells the client that the stream stands.
        sink.send(pack(Bytes::new())).await.ok()?;
        let mut chunks = body.into_data_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            sink.send(pack(chunk)).await.ok()?;
        }
        sink.send(farewell()).await.ok()
    };
    // What a client says is of no concern, only that it is there.
    let listening = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        _ = sending => {}
        () = listening => {}
    }
}
