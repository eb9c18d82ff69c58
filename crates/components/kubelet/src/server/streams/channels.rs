//! Streams as channels of a WebSocket: every message begins with the number of its channel.
//!
//! | protocol | messages | outcome | end of standard input |
//! |---|---|---|---|
//! | `v5.channel.k8s.io` | bytes | a `Status` as JSON | a message `[255, 0]` |
//! | `v4.channel.k8s.io` | bytes | a `Status` as JSON | the end of the connection |
//! | `v4.base64.channel.k8s.io` | a digit and base64 | a `Status` as JSON | the end of the connection |
//! | `channel.k8s.io`, none | bytes | text, nothing for success | the end of the connection |
//! | `base64.channel.k8s.io` | a digit and base64 | text, nothing for success | the end of the connection |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use minato_runtime::RuntimeError;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{Streams, copy, outcome, refusal, said};
use crate::server::websocket::{Socket, farewell};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

pub(super) const PROTOCOLS: [&str; 6] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];
const QUEUE_MAX: usize = 16;

/// What a protocol's messages look like.
#[derive(Clone, Copy)]
struct Form {
    base64: bool,
    json: bool,
    closes: bool,
}

impl Form {
    fn of(protocol: &str) -> Self {
        Self { base64: protocol.contains("base64."), json: protocol.starts_with('v'), closes: protocol == PROTOCOLS[0] }
    }

    fn pack(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            return Message::text(format!("{channel}{}", BASE64.encode(data)));
        }
        let mut bytes = BytesMut::with_capacity(data.len() + 1);
        bytes.put_u8(channel);
        bytes.put_slice(data);
        Message::Binary(bytes.freeze())
    }

    /// Channel and data; `None` for what is neither.
    fn unpack(self, data: &Bytes) -> Option<(u8, Bytes)> {
        let first = *data.first()?;
        if !self.base64 {
            return Some((first, data.slice(1..)));
        }
        let data = BASE64.decode(&data[1..]).ok()?;
        Some((first.checked_sub(b'0')?, data.into()))
    }
}

/// Carries bytes both ways until the process has ended and all its output is sent, or the client is gone.
pub(super) async fn run(
    mut socket: Socket,
    protocol: &str,
    start: impl Future<Output = Result<Streams, RuntimeError>>,
) {
    let form = Form::of(protocol);
    match start.await {
        Ok(streams) => connect(socket, streams, form).await,
        Err(error) => {
            let status = said(&refusal(&error), form.json);
            // The client may have gone.
            let _ = socket.send(form.pack(ERROR, status.as_bytes())).await;
            let _ = socket.send(farewell()).await;
        }
    }
}

async fn connect(socket: Socket, streams: Streams, form: Form) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Message>(QUEUE_MAX);
    let Streams { input: mut controls, stdout, stderr, exit_code } = streams;
    let first = match (&stdout, &stderr) {
        (Some(_), _) => STDOUT,
        (None, Some(_)) => STDERR,
        _ => ERROR,
    };
    let output = async {
        // As upstream: an empty message tells the client that the streams stand.
        if sender.send(form.pack(first, &[])).await.is_err() {
            return;
        }
        tokio::join!(
            copy(stdout, &sender, |block| form.pack(STDOUT, block)),
            copy(stderr, &sender, |block| form.pack(STDERR, block)),
        );
        let code = match exit_code {
            Some(code) => Some(code.await),
            None => None,
        };
        let outcome = said(&outcome(code), form.json);
        if !outcome.is_empty() {
            // The client may have gone.
            let _ = sender.send(form.pack(ERROR, outcome.as_bytes())).await;
        }
        drop(sender);
    };
    let write = async {
        while let Some(next) = queue.recv().await {
            if sink.send(next).await.is_err() {
                return;
            }
        }
        let _ = sink.send(farewell()).await;
    };
    let input = async {
        while let Some(Ok(received)) = source.next().await {
            let data: Bytes = match received {
                Message::Binary(data) => data,
                Message::Text(text) => text.into(),
                Message::Close(_) => return,
                _ => continue,
            };
            let Some((channel, data)) = form.unpack(&data) else { continue };
            match channel {
                STDIN => controls.write(&data).await,
                RESIZE => {
                    if let Ok(size) = serde_json::from_slice(&data) {
                        controls.resize(&size);
                    }
                }
                CLOSE if form.closes && data.first() == Some(&STDIN) => controls.stdin = None,
                _ => {}
            }
        }
    };
    let outgoing = async { tokio::join!(output, write) };
    tokio::select! {
        _ = outgoing => {}
        () = input => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went() {
        for protocol in PROTOCOLS {
            let form = Form::of(protocol);
            let message = form.pack(STDERR, b"\x00text");
            assert_eq!(message.is_text(), protocol.contains("base64"), "{protocol}");
            assert_eq!(
                form.unpack(&message.into_data()),
                Some((STDERR, Bytes::from_static(b"\x00text"))),
                "{protocol}"
            );
            assert_eq!(form.unpack(&Bytes::new()), None);
        }
        let form = Form::of("base64.channel.k8s.io");
        assert_eq!(form.unpack(&Bytes::from_static(b"0?")), None);
        assert_eq!(form.unpack(&Bytes::from_static(b"\x01")), None);
    }
}
