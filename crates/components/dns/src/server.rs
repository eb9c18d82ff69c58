//! Answers questions: names of the cluster from the zone, others from the host's resolvers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use tokio::net::{TcpListener, UdpSocket};

use crate::directory::Directory;
use crate::upstream::{UDP_BYTES_MAX, Upstream};
use crate::zone::{Found, Lookup, Zone};

/// How many aliases are followed: an ExternalName may lead to another.
const ALIASES_MAX: usize = 4;
/// UDP sockets that share the port, so that the kernel spreads questions over them.
const UDP_SOCKETS: usize = 2;
const BIND_ATTEMPTS_MAX: usize = 16;

/// The sockets of the server, all on one port.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) udp: Vec<UdpSocket>,
    pub(crate) tcp: TcpListener,
}

impl Sockets {
    /// Binds `port`, if it is free (0: none is wanted), else some port that is free for both TCP and UDP.
    pub(crate) async fn bind(ip: Ipv4Addr, port: u16) -> io::Result<Self> {
        let mut wanted = port;
        let mut last = io::Error::other("no attempt");
        for _ in 0..BIND_ATTEMPTS_MAX {
            match Self::bind_once(ip, wanted).await {
                Ok(sockets) => return Ok(sockets),
                Err(error) => last = error,
            }
            wanted = 0;
        }
        Err(last)
    }

    async fn bind_once(ip: Ipv4Addr, port: u16) -> io::Result<Self> {
        let tcp = TcpListener::bind((ip, port)).await?;
        let address = tcp.local_addr()?;
        let udp = (0..UDP_SOCKETS).map(|_| udp_socket(ip, address.port())).collect::<io::Result<_>>()?;
        Ok(Self { address, udp, tcp })
    }
}

fn udp_socket(ip: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReusePort, &true)?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(ip, port)))?;
    UdpSocket::from_std(fd.into())
}

/// The handler of questions.
pub(crate) struct Answerer<D> {
    zone: Zone<D>,
    upstream: Upstream,
}

impl<D: Directory> Answerer<D> {
    pub(crate) fn new(zone: Zone<D>, upstream: Upstream) -> Self {
        Self { zone, upstream }
    }

    /// Looks a name up, here or elsewhere, and follows the alias it may have.
    async fn answer(&self, name: &Name, kind: RecordType) -> (Found, bool) {
        let (mut found, ours) = self.look_up(name, kind).await;
        for _ in 0..ALIASES_MAX {
            let Some(alias) = found.alias.take() else { break };
            let (further, _) = self.look_up(&alias, kind).await;
            found.answers.extend(further.answers);
            found.alias = further.alias;
        }
        (found, ours)
    }

    /// True: the answer comes from the zone.
    async fn look_up(&self, name: &Name, kind: RecordType) -> (Found, bool) {
        let failed = || Found { code: ResponseCode::ServFail, ..Found::default() };
        match self.zone.look_up(name, kind) {
            Lookup::Found(found) => (found, true),
            Lookup::NotReady => (failed(), false),
            Lookup::Elsewhere => match self.upstream.ask(name, kind).await {
                Ok(answer) => {
                    let found = Found {
                        code: answer.metadata.response_code,
                        answers: answer.answers,
                        additionals: answer.additionals,
                        authority: answer.authorities,
                        alias: None,
                    };
                    (found, false)
                }
                Err(error) => {
                    tracing::debug!(%name, error = &error as &dyn std::error::Error, "no answer from outside");
                    (failed(), false)
                }
            },
        }
    }

    async fn respond(&self, request: &Request) -> (Metadata, Found) {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let refused = |code| Found { code, ..Found::default() };
        let found = match (request.metadata.op_code, request.queries.queries()) {
            (OpCode::Query, [query]) if query.query_type() == RecordType::AXFR => refused(ResponseCode::Refused),
            (OpCode::Query, [query]) => {
                let question = query.original();
                let (found, ours) = self.answer(question.name(), question.query_type()).await;
                metadata.authoritative = ours;
                found
            }
            (OpCode::Query, _) => refused(ResponseCode::FormErr),
            _ => refused(ResponseCode::NotImp),
        };
        metadata.response_code = found.code;
        (metadata, found)
    }
}

#[async_trait]
impl<D: Directory> RequestHandler for Answerer<D> {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut responder: R) -> ResponseInfo {
        let (metadata, found) = self.respond(request).await;
        let mut edns = Edns::new();
        let asked = request.edns.as_ref().map(Edns::max_payload);
        edns.set_max_payload(asked.unwrap_or(512).clamp(512, UDP_BYTES_MAX));
        let none: &[Record] = &[];
        let response = MessageResponseBuilder::new(&request.queries, asked.map(|_| &edns)).build(
            metadata,
            &found.answers,
            &found.authority,
            none,
            &found.additionals,
        );
        match responder.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(client = %request.src(), %error, "failed to send an answer");
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
