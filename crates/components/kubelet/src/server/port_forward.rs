//! `/portForward`: TCP connections into a pod over one WebSocket (`v4.channel.k8s.io`).
//!
//! The query names the ports. Port number i has the channels 2i (data) and 2i+1 (errors), and the server opens both
//! with the port's number, two bytes, little endian.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use minato_runtime::SandboxId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Server;
use super::query::Query;
use super::reply::{Body, Refusal};
use super::websocket::{Socket, negotiate};

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BLOCK_BYTES: usize = 32 * 1024;
const QUEUE_MAX: usize = 16;
const PORTS_MAX: usize = 64;

impl Server {
    pub(super) async fn port_forward(
        &self,
        namespace: &str,
        pod: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let not_found = || Refusal::new(StatusCode::NOT_FOUND, "NotFound", format!("pod \"{pod}\" not found"));
        let handle = self.pods.find(namespace, pod).ok_or_else(not_found)?;
        let uid = handle.picture.read().pod.metadata.uid.clone().unwrap_or_default();
        let sandboxes = self.node.runtime.sandboxes().await.map_err(|error| Refusal::internal(error.to_string()))?;
        let sandbox = sandboxes.into_iter().find(|sandbox| sandbox.id == SandboxId(uid.clone()) && sandbox.ready);
        let sandbox = sandbox.ok_or_else(|| Refusal::internal(format!("pod \"{pod}\" has no network yet")))?;
        let ports: Option<Vec<u16>> = query
            .all("ports")
            .chain(query.all("port"))
            .flat_map(|list| list.split(','))
            .map(|port| port.parse().ok())
            .collect();
        let ports = ports.filter(|ports| !ports.is_empty() && ports.len() <= PORTS_MAX);
        let Some(ports) = ports else { return Err(Refusal::bad_request("query parameter \"ports\" is required")) };
        let (response, socket) = negotiate(request, &PROTOCOLS)?.accept();
        self.serve_streams("port-forward", async move {
            if let Some(socket) = socket.await {
                forward(socket, sandbox.netns, &ports).await;
            }
        });
        Ok(response)
    }
}

/// Connects to a port on the pod's loopback address.
async fn dial(netns: Option<PathBuf>, port: u16) -> std::io::Result<TcpStream> {
    let address = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Some(netns) = netns else { return TcpStream::connect(address).await };
    let work = tokio::task::spawn_blocking(move || {
        minato_linux::netns::in_netns(&netns, || std::net::TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))
    });
    let stream = work.await.map_err(std::io::Error::other)???;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn message(channel: usize, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(u8::try_from(channel).unwrap_or(u8::MAX));
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

async fn forward(socket: Socket, netns: Option<PathBuf>, ports: &[u16]) {
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
        match dial(netns.clone(), *port).await {
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
                let text =
                    format!("error forwarding port {port} to pod: failed to connect to localhost:{port}: {error}");
                let _ = sender.send(message(2 * index + 1, text.as_bytes())).await;
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
        let _ = sink.close().await;
    };
    let input = async {
        while let Some(Ok(received)) = source.next().await {
            let Message::Binary(data) = received else { continue };
            let Some((channel, data)) = data.split_first() else { continue };
            let index = usize::from(*channel);
            let Some(slot) = (index % 2 == 0).then(|| writers.get_mut(index / 2)).flatten() else { continue };
            if let Some(writer) = slot {
                if writer.write_all(data).await.is_err() {
                    *slot = None;
                }
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(read_all, write) } => {}
        () = input => {}
    }
}
