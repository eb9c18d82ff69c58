//! Asks the host's resolvers about names outside the cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// Questions that may be on their way at one time; more are refused.
const QUESTIONS_MAX: usize = 512;
/// How long one resolver may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many times the list of resolvers is gone through.
const ROUNDS: usize = 2;
/// Resolvers beyond are not asked, as in the C library.
const RESOLVERS_MAX: usize = 3;
/// How often the list of resolvers is looked at again, at most.
const CONFIG_AGE_MAX: Duration = Duration::from_secs(5);
/// What UDP answers may have without being cut up on the way (DNS flag day 2020).
pub(crate) const UDP_BYTES_MAX: u16 = 1232;
/// For resolvers that send more than they were asked to; what is longer is cut and does not count.
const ANSWER_BYTES_MAX: usize = 4096;
const DNS_PORT: u16 = 53;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no resolver is configured in {}", path.display())]
    NoResolver { path: PathBuf },
    #[error("more than {QUESTIONS_MAX} questions are waiting for answers")]
    Busy,
    #[error("resolver {resolver} did not answer in {PATIENCE:?}")]
    Timeout { resolver: SocketAddr },
    #[error("failed to talk to resolver {resolver}")]
    Talk { resolver: SocketAddr, source: io::Error },
    #[error("failed to write the question")]
    Write(#[source] hickory_proto::ProtoError),
}

/// The resolvers of a `resolv.conf`.
pub(crate) struct Upstream {
    path: PathBuf,
    /// Addresses of our own, which a resolver list may contain: asking them would go round in circles.
    own: Vec<IpAddr>,
    port: u16,
    known: Mutex<Known>,
    questions: Semaphore,
}

#[derive(Default)]
struct Known {
    resolvers: Vec<SocketAddr>,
    modified: Option<SystemTime>,
    checked: Option<Instant>,
}

impl Upstream {
    pub(crate) fn new(path: PathBuf, own: Vec<IpAddr>) -> Self {
        Self::with_port(path, own, DNS_PORT)
    }

    fn with_port(path: PathBuf, own: Vec<IpAddr>, port: u16) -> Self {
        Self { path, own, port, known: Mutex::default(), questions: Semaphore::new(QUESTIONS_MAX) }
    }

    /// What the first resolver that answers says.
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, AskError> {
        let _slot = self.questions.try_acquire().map_err(|_| AskError::Busy)?;
        let resolvers = self.resolvers();
        let mut last = AskError::NoResolver { path: self.path.clone() };
        for resolver in resolvers.iter().cycle().take(resolvers.len() * ROUNDS) {
            let talk = talk(*resolver, name, kind);
            match tokio::time::timeout(PATIENCE, talk).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = error,
                Err(_) => last = AskError::Timeout { resolver: *resolver },
            }
        }
        Err(last)
    }

    fn resolvers(&self) -> Vec<SocketAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.checked.is_none_or(|checked| checked.elapsed() > CONFIG_AGE_MAX) {
            known.checked = Some(Instant::now());
            let modified = std::fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
            if modified.is_none() || modified != known.modified {
                known.modified = modified;
                let text = std::fs::read_to_string(&self.path).unwrap_or_default();
                let addresses = nameservers(&text).filter(|address| !self.own.contains(address));
                let resolvers = addresses.take(RESOLVERS_MAX).map(|address| SocketAddr::new(address, self.port));
                known.resolvers = resolvers.collect();
            }
        }
        known.resolvers.clone()
    }
}

/// The addresses after `nameserver` (resolv.conf(5)).
fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.split('%').next()?.parse().ok()
    })
}

async fn talk(resolver: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, AskError> {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), kind));
    question.metadata.recursion_desired = true;
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(AskError::Write)?;
    let failed = |source| AskError::Talk { resolver, source };
    let answer = by_udp(resolver, &question, &bytes).await.map_err(failed)?;
    if answer.metadata.truncation { by_tcp(resolver, &question, &bytes).await.map_err(failed) } else { Ok(answer) }
}

/// A socket of its own for each question: the random port makes answers hard to forge.
async fn by_udp(resolver: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any = if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, question) => return Ok(answer),
            _ => {} // not for us, or forged: wait on
        }
    }
}

async fn by_tcp(resolver: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if answers(&answer, question) {
        Ok(answer)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another question"))
    }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == OpCode::Query
        && answer.queries == question.queries
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;
    use hickory_proto::rr::rdata::TXT;
    use hickory_proto::rr::{RData, Record};

    use super::*;

    #[test]
    fn resolvers_are_read_as_the_c_library_does() {
        let text = "# nameserver 192.0.2.1\nsearch a b\nnameserver 192.0.2.2\n nameserver\t192.0.2.3 x\nnameserver\nnameserver fe80::1%eth0\n";
        let found: Vec<String> = nameservers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["192.0.2.2", "192.0.2.3", "fe80::1"]);
    }

    /// A resolver on the loopback address that cuts its UDP answers short.
    async fn resolver() -> u16 {
        let (tcp, udp) = loop {
            let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let port = tcp.local_addr().unwrap().port();
        let answer = |question: &[u8], truncated: bool| {
            let question = Message::from_vec(question).unwrap();
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.metadata.truncation = truncated;
            answer.queries = question.queries.clone();
            let name = question.queries[0].name().clone();
            let data = RData::TXT(TXT::new(vec!["by tcp".to_owned()]));
            answer.answers = if truncated { vec![] } else { vec![Record::from_rdata(name, 60, data)] };
            answer.to_vec().unwrap()
        };
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
                let mut forged = answer(&buffer[..length], true);
                forged[0] ^= 1;
                udp.send_to(&forged, peer).await.unwrap();
                udp.send_to(&answer(&buffer[..length], true), peer).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut buffer = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut buffer).await.unwrap();
                let answer = answer(&buffer, false);
                stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_truncated_answer_is_asked_for_again_by_tcp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        std::fs::write(&path, "nameserver 192.0.2.9\nnameserver 127.0.0.1\n").unwrap();
        let own = vec!["192.0.2.9".parse().unwrap()];
        let upstream = Upstream::with_port(path, own, resolver().await);
        let answer = upstream.ask(&Name::from_ascii("example.com.").unwrap(), RecordType::TXT).await.unwrap();
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 1));
    }

    #[tokio::test]
    async fn without_resolvers_there_is_an_error_at_once() {
        let upstream = Upstream::new("/nonexistent/resolv.conf".into(), vec![]);
        let error = upstream.ask(&Name::from_ascii("example.com.").unwrap(), RecordType::A).await.unwrap_err();
        assert_eq!(error.to_string(), "no resolver is configured in /nonexistent/resolv.conf");
    }
}
