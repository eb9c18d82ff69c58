//! A conversation: streams that the client opens, and a queue of frames that go back to it.
//!
//! There is no flow control by windows, as in every client and server of Kubernetes: a stream that is not read holds up
//! the others, and memory is bounded by the queues. As upstream does, the server opens no streams of its own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::frame::{self, Decoder, Encoder, Frame, SpdyError};

const QUEUE_MAX: usize = 16;
const STREAMS_MAX: usize = 2_000;
/// How long a client may take to hang up after the farewell.
const LINGER: Duration = Duration::from_secs(10);

/// A stream that the client has opened.
pub(in crate::server) struct Opened {
    pub(in crate::server) stream: u32,
    /// Names in lower case.
    pub(in crate::server) headers: BTreeMap<String, String>,
    /// What the client sends; ends with its half of the stream.
    pub(in crate::server) input: mpsc::Receiver<Bytes>,
}

/// The server's side of a conversation.
pub(in crate::server) struct Session {
    /// Streams, as the client opens them.
    pub(in crate::server) opened: mpsc::Receiver<Opened>,
    /// Frames to the client, see [`frame::data`].
    pub(in crate::server) outbox: mpsc::Sender<Bytes>,
}

/// Runs `work` until it ends, and everything it has said is sent, or until the client is gone.
pub(super) async fn serve<W: Future<Output = ()>>(
    source: impl Stream<Item = Bytes>,
    sink: impl Sink<Bytes>,
    work: impl FnOnce(Session) -> W,
) {
    let (outbox, mut queue) = mpsc::channel::<Bytes>(QUEUE_MAX);
    let (arrivals, opened) = mpsc::channel(QUEUE_MAX);
    tokio::pin!(source, sink);
    let write = async {
        while let Some(mut next) = queue.recv().await {
            loop {
                sink.feed(next).await.ok()?;
                match queue.try_recv() {
                    Ok(another) => next = another,
                    Err(_) => break,
                }
            }
            sink.flush().await.ok()?;
        }
        sink.close().await.ok()
    };
    tokio::pin!(write);
    let conversation = async {
        let mut reader = Reader {
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            inputs: HashMap::new(),
            last: 0,
            outbox: outbox.clone(),
            arrivals: Some(arrivals),
        };
        tokio::select! {
            () = work(Session { opened, outbox }) => {
                // The client may have gone.
                let _ = reader.outbox.send(frame::go_away(reader.last)).await;
                true
            }
            result = reader.run(source.as_mut()) => {
                if let Err(error) = result {
                    tracing::debug!(error = &error as &dyn std::error::Error, "SPDY connection ended");
                }
                false
            }
        }
    };
    let finished = tokio::select! {
        finished = conversation => finished,
        _ = &mut write => false,
    };
    if finished && write.await.is_some() {
        // Closing with unread bytes would reset the connection, and what was sent might never arrive.
        let hung_up = async { while source.next().await.is_some() {} };
        let _ = tokio::time::timeout(LINGER, hung_up).await;
    }
}

/// Takes frames apart and hands them to whom they concern.
struct Reader {
    decoder: Decoder,
    encoder: Encoder,
    /// Where the bytes of a stream go; dropping the sender is the end of the client's half.
    inputs: HashMap<u32, mpsc::Sender<Bytes>>,
    last: u32,
    outbox: mpsc::Sender<Bytes>,
    /// `None` once the client has said that it opens no more.
    arrivals: Option<mpsc::Sender<Opened>>,
}

impl Reader {
    async fn run(&mut self, mut source: impl Stream<Item = Bytes> + Unpin) -> Result<(), SpdyError> {
        while let Some(bytes) = source.next().await {
            self.decoder.push(&bytes);
            while let Some(frame) = self.decoder.next()? {
                self.take(frame).await?;
            }
        }
        Ok(())
    }

    /// Queues that nobody empties any more are of no concern here: whoever held them has ended the conversation.
    async fn take(&mut self, frame: Frame) -> Result<(), SpdyError> {
        match frame {
            Frame::Open { stream, fin, headers } => {
                if stream % 2 == 0 || stream <= self.last {
                    return Err(SpdyError::Stream(stream));
                }
                self.last = stream;
                let (sender, input) = mpsc::channel(QUEUE_MAX);
                if !fin {
                    if self.inputs.len() >= STREAMS_MAX {
                        self.inputs.retain(|_, input| !input.is_closed());
                    }
                    if self.inputs.len() >= STREAMS_MAX {
                        return Err(SpdyError::TooManyStreams(STREAMS_MAX));
                    }
                    self.inputs.insert(stream, sender);
                }
                if let Some(arrivals) = &self.arrivals {
                    let _ = self.outbox.send(self.encoder.reply(stream)).await;
                    let _ = arrivals.send(Opened { stream, headers, input }).await;
                }
            }
            Frame::Data { stream, fin, data } => {
                let closed = match self.inputs.get(&stream) {
                    Some(input) if !data.is_empty() => input.send(data).await.is_err(),
                    _ => false,
                };
                if fin || closed {
                    self.inputs.remove(&stream);
                }
            }
            Frame::Reset { stream } => drop(self.inputs.remove(&stream)),
            Frame::Ping { id } => drop(self.outbox.send(frame::pong(id)).await),
            Frame::GoAway => self.arrivals = None,
            Frame::Other => {}
        }
        Ok(())
    }
}
