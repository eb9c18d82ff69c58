//! Connections as pairs of SPDY streams. For each the client opens two that share a `requestID`: one of type `error`, one
//! of type `data`. What goes wrong is written to the first; both end with the connection.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{BLOCK_BYTES, Door, refused};
use crate::server::spdy::{self, Opened, Session};

const CONNECTIONS_MAX: usize = 1_000;

/// The two streams of a connection, as far as they are open.
#[derive(Default)]
struct Pair {
    error: Option<u32>,
    data: Option<(u32, mpsc::Receiver<Bytes>)>,
}

/// Carries bytes until the client opens no more streams and the last connection has ended.
pub(super) async fn run(session: Session, door: Door) {
    let Session { mut opened, outbox } = session;
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    // Tasks of their own, so that no connection waits for another; they end with this set.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = opened.recv() => {
                let Some(stream) = stream else { break };
                if connections.len() + pairs.len() >= CONNECTIONS_MAX {
                    tracing::debug!("a client forwards too many connections");
                    return;
                }
                if let Some((error, data, from_client, port)) = complete(&mut pairs, stream) {
                    let (outbox, door) = (outbox.clone(), door.clone());
                    connections.spawn(Connection { error, data, from_client, port, outbox, door }.run());
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(outbox);
    while connections.join_next().await.is_some() {}
}

/// Error stream, data stream, its bytes and the port, once both streams are there.
fn complete(pairs: &mut HashMap<String, Pair>, opened: Opened) -> Option<(u32, u32, mpsc::Receiver<Bytes>, String)> {
    let Opened { stream, mut headers, input } = opened;
    let mut text = |name: &str| headers.remove(name).unwrap_or_default();
    // Clients of Kubernetes 1.0 sent no id: their streams come in pairs, error before data.
    let (id, port) = (text("requestid"), text("port"));
    let pair = pairs.entry(id.clone()).or_default();
    if text("streamtype") == "error" {
        pair.error = Some(stream);
    } else {
        pair.data = Some((stream, input));
    }
    match pairs.remove(&id)? {
        Pair { error: Some(error), data: Some((data, from_client)) } => Some((error, data, from_client, port)),
        half => {
            pairs.insert(id, half);
            None
        }
    }
}

/// One TCP connection into the pod.
struct Connection {
    error: u32,
    data: u32,
    from_client: mpsc::Receiver<Bytes>,
    port: String,
    outbox: mpsc::Sender<Bytes>,
    door: Door,
}

impl Connection {
    async fn run(mut self) {
        let failure = self.carry().await.err().unwrap_or_default();
        // Nothing is left to be done if the client has gone meanwhile.
        let _ = self.outbox.send(spdy::data(self.data, true, &[])).await;
        let _ = self.outbox.send(spdy::data(self.error, true, failure.as_bytes())).await;
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
                if self.outbox.send(spdy::data(self.data, false, &block[..count])).await.is_err() {
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
