//! `/portForward`: TCP connections into a pod over one connection of the client's.
//!
//! kubectl speaks SPDY (see [`pairs`]), plain or, since 1.31, in a WebSocket (`SPDY/3.1+portforward.k8s.io`); client
//! libraries use channels of a WebSocket (`v4.channel.k8s.io`, see [`channels`]).

mod channels;
mod pairs;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use minato_runtime::SandboxId;
use tokio::net::TcpStream;

use super::Server;
use super::query::Query;
use super::reply::{Body, Refusal};
use super::{spdy, websocket};

const SPDY_PROTOCOL: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const PROTOCOLS: [&str; 3] = [TUNNEL, "v5.channel.k8s.io", "v4.channel.k8s.io"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const BLOCK_BYTES: usize = 32 * 1024;
const QUEUE_MAX: usize = 16;

/// How to reach a pod's own loopback address.
#[derive(Clone)]
struct Door {
    /// `None` for pods in the host's network.
    netns: Option<PathBuf>,
}

impl Door {
    async fn dial(&self, port: u16) -> std::io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Some(netns) = self.netns.clone() else { return TcpStream::connect(address).await };
        let work = tokio::task::spawn_blocking(move || {
            minato_linux::netns::in_netns(&netns, || std::net::TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))
        });
        let stream = work.await.map_err(std::io::Error::other)???;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

/// In upstream's words, which kubectl prints.
fn refused(port: u16, error: &std::io::Error) -> String {
    format!("error forwarding port {port} to pod: failed to connect to localhost:{port} inside the pod: {error}")
}

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
        let door = Door { netns: sandbox.netns };
        if spdy::is_wanted(&request) {
            let (response, connection) = spdy::negotiate(request, &[SPDY_PROTOCOL])?.accept();
            self.serve_streams("port-forward", async move {
                if let Some(connection) = connection.await {
                    connection.serve(|session| pairs::run(session, door)).await;
                }
            });
            return Ok(response);
        }
        let upgrade = websocket::negotiate(request, &PROTOCOLS)?;
        if upgrade.protocol == TUNNEL {
            let (response, socket) = upgrade.accept();
            self.serve_streams("port-forward", async move {
                if let Some(socket) = socket.await {
                    spdy::serve_in(socket, |session| pairs::run(session, door)).await;
                }
            });
            return Ok(response);
        }
        let ports = channels::ports(query)?;
        let (response, socket) = upgrade.accept();
        self.serve_streams("port-forward", async move {
            if let Some(socket) = socket.await {
                channels::run(socket, door, &ports).await;
            }
        });
        Ok(response)
    }
}
