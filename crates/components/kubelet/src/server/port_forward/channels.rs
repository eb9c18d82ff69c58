//! The query names the ports. Port number i has the channels 2i (data) and 2i+1 (errors), and the server opens both
//! with the port's number, two bytes, little endian. One connection for each port.

use bytes::{BufMut as _, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{BLOCK_BYTES, Door, QUEUE_MAX, refused};
use crate::server::query::Query;
use crate::server::reply::Refusal;
use crate::server::websocket::{Socket, farewell};

const PORTS_MAX: usize = 64;

/// The ports that a client wants.
pub(super) fn ports(query: &Query) -> Result<Vec<u16>, Refusal> {
    let lists = query.all("ports").chain(query.all("port"));
    let ports: Option<Vec<u16>> = lists.flat_map(|list| list.split(',')).map(|port| port.parse().ok()).collect();
    let ports = ports.filter(|ports| !ports.is_empty() && ports.len() <= PORTS_MAX);
    ports.ok_or_else(|| Refusal::bad_request("query parameter \"ports\" is required"))
}

fn message(channel: usize, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(u8::try_from(channel).unwrap_or(u8::MAX));
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

/// Carries bytes until all connections have ended or the client is gone.
pub(super) async fn run(socket: Socket, door: Door, ports: &[u16]) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Message>(QUEUE_MAX);
    for (index, port) in ports.iter().enumerate() {
        for channel in [2 * index, 2 * index + 1] {
            if sink.send(message(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
    }
    let mut writers: Vec<Option<OwnedWriteHalf>> = Vec::new();
    let mut readers = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        match door.dial(*port).await {
            Ok(stream) => {
                let (mut read, write) = stream.into_split();
                writers.push(Some(write));
                let sender = sender.clone();
                readers.push(async move {
                    let mut block = vec![0; BLOCK_BYTES];
                    while let Ok(count @ 1..) = read.read(&mut block).await {
                        if sender.send(message(2 * index, &block[..count])).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Err(error) => {
                let text = refused(*port, &error);
                if sink.send(message(2 * index + 1, text.as_bytes())).await.is_err() {
                    return;
                }
                writers.push(None);
            }
        }
    }
    drop(sender);
    let read_all = futures::future::join_all(readers);
    let write = async {
        while let Some(next) = queue.recv().await {
            if sink.send(next).await.is_err() {
                return;
            }
        }
        // The client may have gone.
        let _ = sink.send(farewell()).await;
    };
    let input = async {
        while let Some(Ok(received)) = source.next().await {
            let Message::Binary(data) = received else { continue };
            let Some((channel, data)) = data.split_first() else { continue };
            let index = usize::from(*channel);
            let Some(slot) = (index % 2 == 0).then(|| writers.get_mut(index / 2)).flatten() else { continue };
            if let Some(writer) = slot
                && writer.write_all(data).await.is_err()
            {
                *slot = None;
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(read_all, write) } => {}
        () = input => {}
    }
}
