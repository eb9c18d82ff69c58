//! Takes questions from the sockets, and gives the answers back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::answer::{Answerer, Transport};
use crate::guests::Guests;
use crate::sockets::Sockets;

/// Longer questions are cut by UDP, and refused then; a TCP connection is closed.
const QUESTION_BYTES_MAX: usize = 4096;
/// Questions by UDP that wait for the host's resolvers, of all clients and of each; further ones are dropped, as a full
/// network would.
const QUESTIONS_MAX: usize = 512;
const QUESTIONS_EACH_MAX: usize = 128;
/// TCP connections, of all clients and of each; further ones are closed at once.
const CONNECTIONS_MAX: usize = 128;
const CONNECTIONS_EACH_MAX: usize = 16;
/// A TCP client that neither asks nor listens for so long is disconnected.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(10);
/// After an error of a socket (too many open files, say), which would come again at once.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The tasks that take questions, and those that still answer.
pub(super) struct Intake {
    takers: [JoinHandle<()>; 2],
    answering: TaskTracker,
}

impl Intake {
    pub(super) fn start(sockets: Sockets, answerer: &Arc<Answerer>) -> io::Result<Self> {
        let (udp, tcp) = (UdpSocket::from_std(sockets.udp)?, TcpListener::from_std(sockets.tcp)?);
        let answering = TaskTracker::new();
        let takers = [
            tokio::spawn(take_datagrams(udp, Arc::clone(answerer), answering.clone())),
            tokio::spawn(take_connections(tcp, Arc::clone(answerer), answering.clone())),
        ];
        Ok(Self { takers, answering })
    }

    /// Takes no more questions, and gives the answers to those it took.
    pub(super) async fn stop(self, deadline: Duration) {
        for taker in self.takers {
            taker.abort();
            let _ = taker.await;
        }
        self.answering.close();
        let _ = tokio::time::timeout(deadline, self.answering.wait()).await;
    }
}

async fn take_datagrams(socket: UdpSocket, answerer: Arc<Answerer>, answering: TaskTracker) {
    let socket = Arc::new(socket);
    let guests = Guests::new(QUESTIONS_MAX, QUESTIONS_EACH_MAX);
    let mut buffer = vec![0; QUESTION_BYTES_MAX];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "failed to receive questions");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let (question, knows) = (buffer[..length].to_vec(), Arc::clone(&answerer));
        let mut answer = Box::pin(async move { knows.answer(&question, Transport::Udp).await });
        // What is known here is answered at once; a task costs more than the answer.
        match futures::poll!(answer.as_mut()) {
            Poll::Ready(answer) => reply(&socket, answer, client).await,
            Poll::Pending => {
                if let Some(place) = guests.take(client.ip()) {
                    let socket = Arc::clone(&socket);
                    answering.spawn(async move {
                        reply(&socket, answer.await, client).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

async fn reply(socket: &UdpSocket, answer: Option<Vec<u8>>, client: SocketAddr) {
    if let Some(answer) = answer {
        // The client may be gone, or have given an address that cannot be.
        let _ = socket.send_to(&answer, client).await;
    }
}

async fn take_connections(listener: TcpListener, answerer: Arc<Answerer>, answering: TaskTracker) {
    let guests = Guests::new(CONNECTIONS_MAX, CONNECTIONS_EACH_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                if let Some(place) = guests.take(client.ip()) {
                    let answerer = Arc::clone(&answerer);
                    answering.spawn(async move {
                        // The client hung up, or is too slow.
                        let _ = converse(stream, &answerer).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept connections");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// One question after the other; a client that wants more at once takes more connections.
async fn converse(mut stream: TcpStream, answerer: &Answerer) -> io::Result<()> {
    loop {
        let question = tokio::time::timeout(CONNECTION_IDLE_MAX, async {
            let length = usize::from(stream.read_u16().await?);
            if length > QUESTION_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut question = vec![0; length];
            stream.read_exact(&mut question).await?;
            io::Result::Ok(question)
        });
        let Some(answer) = answerer.answer(&question.await??, Transport::Tcp).await else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let message = [&length.to_be_bytes(), answer.as_slice()].concat();
        tokio::time::timeout(CONNECTION_IDLE_MAX, stream.write_all(&message)).await??;
    }
}
