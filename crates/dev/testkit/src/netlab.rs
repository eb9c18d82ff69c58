//! A network of namespaces for tests: a node with an uplink, a machine outside, and as many pods as wanted.
//!
//! Nothing here is mounted or named: a namespace lives as long as the value that holds it, so a test that panics leaves
//! nothing behind. The node's addresses are from the documentation ranges; nothing leaves the machine.

use std::fs::File;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use minato_linux::netns::in_netns;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// The node's address.
pub const NODE_IP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The address of the machine outside the cluster.
pub const OUTSIDE_IP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The largest packet of the link between them.
pub const UPLINK_MTU: u32 = 1400;
pub use crate::patience::eventually;

const PATIENCE: Duration = Duration::from_secs(5);

/// Whether namespaces can be made; says so if not.
#[must_use]
pub fn available() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one with nothing but `lo`, which is up.
    ///
    /// # Errors
    /// Without the privilege.
    pub fn new() -> anyhow::Result<Self> {
        let file = std::thread::spawn(|| -> anyhow::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        });
        let file = file.join().map_err(|_| anyhow::anyhow!("the thread panicked"))??;
        let namespace = Self { file };
        namespace.block_on(|| async { up("lo").await })??;
        Ok(namespace)
    }

    /// Where the namespace can be opened.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// Runs something inside; sockets made there stay in the namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        Ok(in_netns(&self.path(), work)?)
    }

    /// Runs a future inside, on a runtime of its own that ends with it.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn block_on<F: Future>(&self, future: impl FnOnce() -> F + Send) -> anyhow::Result<F::Output>
    where
        F::Output: Send,
    {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future()))
        })?
    }

    /// Answers every TCP connection with `name` and the client's address.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn serve_tcp(&self, name: &str, address: SocketAddr) -> anyhow::Result<()> {
        let (listener, name) = (self.run(|| TcpListener::bind(address))??, name.to_owned());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
                // A client that went away is its own business.
                let _ = stream.write_all(format!("{name} {peer}").as_bytes());
            }
        });
        Ok(())
    }

    /// Answers every UDP datagram with `name` and the client's address.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn serve_udp(&self, name: &str, address: SocketAddr) -> anyhow::Result<()> {
        let (socket, name) = (self.run(|| UdpSocket::bind(address))??, name.to_owned());
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        });
        Ok(())
    }

    /// What a TCP server says: its name and the address it saw.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn ask_tcp(&self, address: SocketAddr) -> std::io::Result<String> {
        in_netns(&self.path(), || ask_tcp(address))?
    }

    /// A UDP socket inside, which gives up after a while.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn udp_client(&self) -> anyhow::Result<UdpSocket> {
        let socket = self.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }
}

/// What a TCP server says, asked from the namespace of the calling thread.
///
/// # Errors
/// When nobody answers.
pub fn ask_tcp(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What a UDP server says.
///
/// # Errors
/// When nobody answers.
pub fn ask_udp(socket: &UdpSocket, address: SocketAddr) -> std::io::Result<String> {
    socket.send_to(b"?", address)?;
    let mut buffer = [0; 2048];
    let (length, _) = socket.recv_from(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A node with an uplink to a machine outside.
#[derive(Debug)]
pub struct Lab {
    /// Where Minato runs.
    pub node: Namespace,
    /// A machine of the same network that is not in the cluster.
    pub outside: Namespace,
}

impl Lab {
    /// Makes both and the link between them. The node's default route leads outside.
    ///
    /// # Errors
    /// Without the privilege.
    pub fn new() -> anyhow::Result<Self> {
        let lab = Self { node: Namespace::new()?, outside: Namespace::new()? };
        let outside = lab.outside.file.as_raw_fd();
        lab.node.block_on(|| async move {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            let peer =
                LinkMessageBuilder::<LinkUnspec>::new().name("uplink").mtu(UPLINK_MTU).setns_by_fd(outside).build();
            let pair = LinkVeth::new("uplink", "uplink").mtu(UPLINK_MTU);
            handle.link().add(pair.set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build()).execute().await?;
            connection.abort();
            uplink(NODE_IP, OUTSIDE_IP).await
        })??;
        lab.outside.block_on(|| uplink(OUTSIDE_IP, NODE_IP))??;
        Ok(lab)
    }
}

async fn uplink(address: Ipv4Addr, gateway: Ipv4Addr) -> anyhow::Result<()> {
    let index = up("uplink").await?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    handle.address().add(index, address.into(), 24).execute().await?;
    // The outside has no route to pods and services: only what is translated comes back.
    if address == NODE_IP {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
        handle.route().add(route).execute().await?;
    }
    connection.abort();
    Ok(())
}

async fn up(name: &str) -> anyhow::Result<u32> {
    use futures::TryStreamExt as _;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let mut found = Box::pin(handle.link().get().match_name(name).execute());
    let link = found.try_next().await?.with_context(|| format!("no interface {name}"))?;
    handle.link().set(LinkUnspec::new_with_index(link.header.index).up().build()).execute().await?;
    connection.abort();
    Ok(link.header.index)
}
