//! SPDY inside a WebSocket (KEP-4006). For each connection the client opens two streams that share a `requestID`: one
//! of type `error`, one of type `data`. What goes wrong is written to the first; both end with the connection.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{BLOCK_BYTES, Door, QUEUE_MAX, refused};
use crate::server::spdy::{self, Decoder, Encoder, Frame, SpdyError};
use crate::server::websocket::Socket;

const CONNECTIONS_MAX: usize = 1_000;

/// The two streams of a connection, as far as they are open.
#[derive(Default)]
struct Request {
    error: Option<u32>,
    data: Option<(u32, mpsc::Receiver<Bytes>)>,
}

/// What arrives on a data stream goes here; dropping the sender is the end of the client's half.
type Inputs = HashMap<u32, mpsc::Sender<Bytes>>;

/// Carries bytes until the client is gone.
pub(super) async fn run(socket: Socket, door: Door) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Bytes>(QUEUE_MAX);
    let write = async {
        while let Some(frame) = queue.recv().await {
            if sink.send(Message::Binary(frame)).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        let mut session = Session {
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            requests: HashMap::new(),
            inputs: Inputs::new(),
            sender,
            door,
        };
        // Tasks of their own, because reading waits for them to take what was read; they end with this set.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                received = source.next() => {
                    let data = match received {
                        Some(Ok(Message::Binary(data))) => data,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                        Some(Ok(_)) => continue,
                    };
                    session.decoder.push(&data);
                    loop {
                        match session.step(connections.len()).await {
                            Ok(Step::Connect(connection)) => drop(connections.spawn(connection.run())),
                            Ok(Step::Done) => {}
                            Ok(Step::More) => break,
                            Ok(Step::End) => return,
                            Err(error) => {
                                tracing::debug!(error = &error as &dyn std::error::Error, "port-forward ended");
                                return;
                            }
                        }
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

enum Step {
    /// A frame was dealt with.
    Done,
    /// A new connection is complete on the client's side.
    Connect(Connection),
    /// There is no whole frame.
    More,
    /// The client is done.
    End,
}

struct Session {
    decoder: Decoder,
    encoder: Encoder,
    requests: HashMap<String, Request>,
    inputs: Inputs,
    sender: mpsc::Sender<Bytes>,
    door: Door,
}

impl Session {
    async fn step(&mut self, open: usize) -> Result<Step, SpdyError> {
        let Some(frame) = self.decoder.next()? else { return Ok(Step::More) };
        match frame {
            Frame::Open { stream, headers, .. } => {
                let reply = self.encoder.reply(stream);
                if self.sender.send(reply).await.is_err() {
                    return Ok(Step::End);
                }
                let text = |name: &str| headers.get(name).cloned().unwrap_or_default();
                let (id, port) = (text("requestid"), text("port"));
                if open >= CONNECTIONS_MAX || self.requests.len() >= CONNECTIONS_MAX {
                    return Ok(Step::End);
                }
                let request = self.requests.entry(id.clone()).or_default();
                if text("streamtype") == "error" {
                    request.error = Some(stream);
                } else {
                    let (input, output) = mpsc::channel(QUEUE_MAX);
                    self.inputs.insert(stream, input);
                    request.data = Some((stream, output));
                }
                if request.error.is_none() || request.data.is_none() {
                    return Ok(Step::Done);
                }
                let Some(Request { error: Some(error), data: Some((data, from_client)) }) = self.requests.remove(&id)
                else {
                    return Ok(Step::Done);
                };
                let (sender, door) = (self.sender.clone(), self.door.clone());
                return Ok(Step::Connect(Connection { error, data, from_client, port, sender, door }));
            }
            Frame::Data { stream, fin, data } => {
                if let Some(input) = self.inputs.get(&stream).filter(|_| !data.is_empty())
                    && input.send(data).await.is_err()
                {
                    self.inputs.remove(&stream);
                }
                if fin {
                    self.inputs.remove(&stream);
                }
            }
            Frame::Reset { stream } => drop(self.inputs.remove(&stream)),
            Frame::Ping { id } => {
                if self.sender.send(spdy::pong(id)).await.is_err() {
                    return Ok(Step::End);
                }
            }
            Frame::GoAway => return Ok(Step::End),
            Frame::Other => {}
        }
        Ok(Step::Done)
    }
}

/// One TCP connection into the pod.
struct Connection {
    error: u32,
    data: u32,
    from_client: mpsc::Receiver<Bytes>,
    port: String,
    sender: mpsc::Sender<Bytes>,
    door: Door,
}

impl Connection {
    async fn run(mut self) {
        let failure = self.carry().await.err().unwrap_or_default();
        // Nothing is left to be done if the client has gone meanwhile.
        let _ = self.sender.send(spdy::data(self.data, true, &[])).await;
        let _ = self.sender.send(spdy::data(self.error, true, failure.as_bytes())).await;
    }

    async fn carry(&mut self) -> Result<(), String> {
        let port: u16 = self.port.parse().map_err(|_| format!("invalid port {:?}", self.port))?;
        let stream = self.door.dial(port).await.map_err(|error| refused(port, &error))?;
        let (mut read, mut write) = stream.into_split();
        let upstream = async {
            while let Some(bytes) = self.from_client.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The peer may have closed already.
            let _ = write.shutdown().await;
        };
        let downstream = async {
            let mut block = vec![0; BLOCK_BYTES];
            while let Ok(count @ 1..) = read.read(&mut block).await {
                if self.sender.send(spdy::data(self.data, false, &block[..count])).await.is_err() {
                    return;
                }
            }
        };
        // The pod's end decides: once it has nothing more to say the connection is over, whatever the client sends.
        tokio::pin!(upstream, downstream);
        tokio::select! {
            () = &mut downstream => {}
            () = &mut upstream => downstream.await,
        }
        Ok(())
    }
}
