//! Streams as streams of SPDY: the client opens one for each, of the type that the header `streamType` names, and one of
//! type `error` for the outcome.
//!
//! | protocol | outcome | terminal's size |
//! |---|---|---|
//! | `v4.channel.k8s.io` | a `Status` as JSON | objects of JSON on `resize` |
//! | `v3.channel.k8s.io` | text, nothing for success | objects of JSON on `resize` |
//! | `v2.channel.k8s.io`, `channel.k8s.io` | text, nothing for success | not told |

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use minato_runtime::RuntimeError;
use tokio::sync::mpsc;

use super::{Controls, Size, Streams, Wanted, copy, outcome, refusal, said};
use crate::server::spdy::{Opened, Session, data};

pub(super) const PROTOCOLS: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long a client may take to open its streams.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// A message on the resize stream is much shorter.
const SIZE_BYTES_MAX: usize = 1024;

/// The client's streams.
#[derive(Default)]
struct Ends {
    error: Option<u32>,
    stdin: Option<mpsc::Receiver<Bytes>>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<mpsc::Receiver<Bytes>>,
}

impl Ends {
    fn take(&mut self, Opened { stream, headers, input }: Opened) {
        match headers.get("streamtype").map(String::as_str) {
            Some("error") => self.error = Some(stream),
            Some("stdin") => self.stdin = Some(input),
            Some("stdout") => self.stdout = Some(stream),
            Some("stderr") => self.stderr = Some(stream),
            Some("resize") => self.resize = Some(input),
            other => tracing::debug!(kind = other, "unexpected stream"),
        }
    }

    /// Whether all streams are there that the request has announced.
    fn are_complete(&self, wanted: Wanted, resizes: bool) -> bool {
        self.error.is_some()
            && self.stdin.is_some() >= wanted.stdin
            && self.stdout.is_some() >= wanted.stdout
            && self.stderr.is_some() >= wanted.stderr
            && self.resize.is_some() >= (wanted.tty && resizes)
    }
}

/// Carries bytes both ways until the process has ended and all its output is sent.
pub(super) async fn run(
    session: Session,
    protocol: &str,
    wanted: Wanted,
    start: impl Future<Output = Result<Streams, RuntimeError>>,
) {
    let Session { mut opened, outbox } = session;
    let json = protocol == PROTOCOLS[0];
    let resizes = json || protocol == PROTOCOLS[1];
    let mut ends = Ends::default();
    let open = async {
        while !ends.are_complete(wanted, resizes) {
            ends.take(opened.recv().await?);
        }
        Some(())
    };
    if !matches!(tokio::time::timeout(OPENING_TIMEOUT, open).await, Ok(Some(()))) {
        tracing::debug!("a client has not opened the streams it announced");
        return;
    }
    let Ends { error: Some(error), stdin, stdout, stderr, resize } = ends else { return };
    let status = match start.await {
        Ok(Streams { input, stdout: from_stdout, stderr: from_stderr, exit_code }) => {
            let output = async {
                tokio::join!(relay(from_stdout, stdout, &outbox), relay(from_stderr, stderr, &outbox));
                match exit_code {
                    Some(code) => Some(code.await),
                    None => None,
                }
            };
            tokio::select! {
                code = output => outcome(code),
                never = control(input, stdin, resize) => match never {},
            }
        }
        Err(failure) => {
            let status = refusal(&failure);
            for stream in [stdout, stderr].into_iter().flatten() {
                // The client may have gone, here and below.
                let _ = outbox.send(data(stream, true, &[])).await;
            }
            status
        }
    };
    let _ = outbox.send(data(error, true, said(&status, json).as_bytes())).await;
}

/// All of an output, and its end.
async fn relay(from: Option<super::Output>, stream: Option<u32>, outbox: &mpsc::Sender<Bytes>) {
    let Some(stream) = stream else { return };
    copy(from, outbox, |block| data(stream, false, block)).await;
    let _ = outbox.send(data(stream, true, &[])).await;
}

/// Passes on what the client sends; when that has ended, the process goes on.
async fn control(
    Controls { stdin: writer, resizer }: Controls,
    stdin: Option<mpsc::Receiver<Bytes>>,
    resize: Option<mpsc::Receiver<Bytes>>,
) -> std::convert::Infallible {
    let typing = async {
        let mut typist = Controls { stdin: writer, resizer: None };
        if let Some(mut stdin) = stdin {
            while let Some(bytes) = stdin.recv().await {
                typist.write(&bytes).await;
            }
        }
    };
    let sizing = async {
        let window = Controls { stdin: None, resizer };
        let Some(mut resize) = resize else { return };
        let mut pending = BytesMut::new();
        while let Some(bytes) = resize.recv().await {
            pending.extend_from_slice(&bytes);
            for size in sizes(&mut pending) {
                window.resize(&size);
            }
            if pending.len() > SIZE_BYTES_MAX {
                return;
            }
        }
    };
    tokio::join!(typing, sizing);
    std::future::pending().await
}

/// The whole objects at the front of `pending`, which are taken from it.
fn sizes(pending: &mut BytesMut) -> Vec<Size> {
    let mut objects = serde_json::Deserializer::from_slice(pending).into_iter();
    let sizes = objects.by_ref().map_while(Result::ok).collect();
    let read = objects.byte_offset();
    pending.advance(read.min(pending.len()));
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_any_pieces() {
        let mut pending = BytesMut::new();
        let mut seen = Vec::new();
        for piece in
            ["{\"Width\":80,\"Hei", "ght\":24}\n{\"Width\":1", "00,\"Height\":30}\n{\"Width\":9,\"Height\":9}\n{"]
        {
            pending.extend_from_slice(piece.as_bytes());
            seen.extend(sizes(&mut pending).iter().map(|size| (size.width, size.height)));
        }
        assert_eq!(seen, [(80, 24), (100, 30), (9, 9)]);
        pending.extend_from_slice(b"]");
        assert!(sizes(&mut pending).is_empty());
    }
}
