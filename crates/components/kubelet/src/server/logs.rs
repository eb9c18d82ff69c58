//! `/containerLogs`: reads CRI log files.
//!
//! A line is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; `P` lines go on in the next line.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use minato_http::BoxError;
use minato_runtime::{ContainerEvent, ContainerId, ContainerState, ContainerStatus, Runtime};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::Server;
use super::query::Query;
use super::reply::{self, Body, Refusal};
use crate::inotify::PathWatch;
use crate::worker::Picture;

const BLOCK_BYTES: usize = 64 * 1024;
const QUEUE_MAX: usize = 8;
/// A line without end is passed on in pieces of this size.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Which part of a log is wanted, and how.
#[derive(Clone, Debug, Default)]
struct Wanted {
    follow: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    since: Option<Timestamp>,
    limit_bytes: Option<u64>,
    /// `stdout` or `stderr` alone.
    stream: Option<&'static str>,
}

impl Wanted {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let number = |name: &str| match query.get(name) {
            None | Some("") => Ok(None),
            Some(text) => {
                text.parse::<u64>().map(Some).map_err(|_| Refusal::bad_request(format!("invalid {name} {text:?}")))
            }
        };
        let mut since = match query.get("sinceTime") {
            None | Some("") => None,
            Some(text) => Some(
                text.parse::<Timestamp>()
                    .map_err(|error| Refusal::bad_request(format!("invalid sinceTime {text:?}: {error}")))?,
            ),
        };
        if let Some(seconds) = number("sinceSeconds")? {
            let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            since = Timestamp::now().checked_sub(ago).ok();
        }
        Ok(Self {
            follow: query.flag(&["follow"]),
            timestamps: query.flag(&["timestamps"]),
            tail_lines: number("tailLines")?,
            since,
            limit_bytes: number("limitBytes")?,
            stream: match query.get("stream") {
                Some("Stdout") => Some("stdout"),
                Some("Stderr") => Some("stderr"),
                _ => None,
            },
        })
    }

    /// What of a line is sent; `None` to leave it out.
    fn render(&self, line: &[u8], out: &mut BytesMut) {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(stream), Some(tag)) = (fields.next(), fields.next(), fields.next()) else { return };
        let text = fields.next().unwrap_or_default();
        if self.stream.is_some_and(|wanted| wanted.as_bytes() != stream) {
            return;
        }
        if let Some(since) = self.since {
            let time = std::str::from_utf8(time).ok().and_then(|time| time.parse::<Timestamp>().ok());
            if time.is_some_and(|time| time < since) {
                return;
            }
        }
        if self.timestamps {
            out.extend_from_slice(time);
            out.extend_from_slice(b" ");
        }
        out.extend_from_slice(text);
        if tag.first() == Some(&b'F') {
            out.extend_from_slice(b"\n");
        }
    }
}

impl Server {
    pub(super) async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
    ) -> Result<Response<Body>, Refusal> {
        let wanted = Wanted::parse(query)?;
        let handle = self
            .pods
            .find(namespace, pod)
            .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "NotFound", format!("pod \"{pod}\" not found")))?;
        let picture = handle.picture.read().clone();
        let status = choose(&picture, pod, container, query.flag(&["previous"]))?;
        let Some(path) = status.log_path.clone() else {
            return Ok(reply::text(Bytes::new()));
        };
        let running = matches!(status.state, ContainerState::Running { .. } | ContainerState::Created);
        // Subscribed before the file is read: an exit in between is not missed.
        let exits = (wanted.follow && running).then(|| self.node.runtime.events());
        let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(QUEUE_MAX);
        let reader =
            Reader { path, wanted, sender, id: status.id.clone(), exits, runtime: Arc::clone(&self.node.runtime) };
        let ending = self.scope.clone();
        self.scope.spawn("logs", async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = reader.run() => {}
            }
        });
        let frames = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        Ok(reply::stream(StreamBody::new(frames).boxed_unsync()))
    }
}

fn choose<'a>(
    picture: &'a Picture,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<&'a ContainerStatus, Refusal> {
    let spec = picture.pod.spec.iter();
    let names = spec.flat_map(|spec| {
        let own = spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|known| &known.name);
        own.chain(spec.ephemeral_containers.iter().flatten().map(|known| &known.name))
    });
    if !names.into_iter().any(|known| known == container) {
        return Err(Refusal::bad_request(format!("container {container} is not valid for pod {pod}")));
    }
    let mut attempts: Vec<&ContainerStatus> =
        picture.containers.iter().filter(|status| status.name == container).collect();
    attempts.sort_by_key(|status| std::cmp::Reverse(status.attempt));
    let ended = |status: &&&ContainerStatus| matches!(status.state, ContainerState::Exited { .. });
    if previous {
        // While the container waits for its restart, its last end is the previous one.
        let waiting = waiting_reason(picture, container).is_some();
        let skip = usize::from(!waiting);
        return attempts.iter().skip(skip).find(ended).copied().ok_or_else(|| {
            Refusal::bad_request(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found"))
        });
    }
    attempts.first().copied().ok_or_else(|| {
        let reason = waiting_reason(picture, container).unwrap_or_else(|| "ContainerCreating".to_owned());
        let verb = match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
                "trying and failing to pull image".to_owned()
            }
            reason => reason.to_owned(),
        };
        Refusal::bad_request(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {verb}"))
    })
}

fn waiting_reason(picture: &Picture, container: &str) -> Option<String> {
    let status = picture.pod.status.as_ref()?;
    let all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    let mut all = all.filter(|status| status.name == container);
    all.next()?.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

struct Reader {
    path: PathBuf,
    wanted: Wanted,
    sender: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
    id: ContainerId,
    exits: Option<broadcast::Receiver<ContainerEvent>>,
    runtime: Arc<dyn Runtime>,
}

impl Reader {
    async fn run(mut self) {
        let result = self.send().await;
        if let Err(error) = result {
            tracing::debug!(path = %self.path.display(), %error, "log not read to its end");
            // The receiver may be gone, and then nobody wants to know.
            let _ = self.sender.send(Err(error.into())).await;
        }
    }

    async fn send(&mut self) -> std::io::Result<()> {
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            // Nothing was ever written, and nothing will be.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.exits.is_none() => return Ok(()),
            Err(error) => return Err(error),
        };
        let watch = match &self.exits {
            Some(_) => Some(PathWatch::new(&self.path)?),
            None => None,
        };
        let mut running = self.exits.is_some() && !self.has_ended().await;
        if let Some(lines) = self.wanted.tail_lines {
            let start = tail_start(&mut file, lines).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        let mut left = self.wanted.limit_bytes.unwrap_or(u64::MAX);
        let mut pending = BytesMut::new();
        loop {
            if !self.drain(&mut file, &mut pending, &mut left).await? || left == 0 {
                return Ok(());
            }
            let Some(watch) = watch.as_ref().filter(|_| running) else { return Ok(()) };
            tokio::select! {
                changed = watch.changed() => changed?,
                () = exit_of(&mut self.exits, &self.id) => running = !self.has_ended().await,
                () = self.sender.closed() => return Ok(()),
            }
        }
    }

    async fn has_ended(&self) -> bool {
        match self.runtime.container(&self.id).await {
            Ok(status) => matches!(status.state, ContainerState::Exited { .. }),
            Err(_) => true,
        }
    }

    /// Sends everything up to the end of the file; false if nobody listens any more.
    async fn drain(&self, file: &mut File, pending: &mut BytesMut, left: &mut u64) -> std::io::Result<bool> {
        loop {
            pending.reserve(BLOCK_BYTES);
            let read = file.read_buf(pending).await?;
            let mut out = BytesMut::new();
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line = pending.split_to(end + 1);
                self.wanted.render(&line[..end], &mut out);
            }
            if pending.len() > LINE_BYTES_MAX {
                self.wanted.render(&pending.split(), &mut out);
            }
            if out.len() as u64 > *left {
                out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            }
            *left -= out.len() as u64;
            if !out.is_empty() && self.sender.send(Ok(Frame::data(out.freeze()))).await.is_err() {
                return Ok(false);
            }
            if read == 0 || *left == 0 {
                return Ok(true);
            }
        }
    }
}

/// Completes when the container has ended, or when that may have been missed.
async fn exit_of(exits: &mut Option<broadcast::Receiver<ContainerEvent>>, wanted: &ContainerId) {
    let Some(exits) = exits else { return std::future::pending().await };
    loop {
        match exits.recv().await {
            Ok(ContainerEvent::Exited { id, .. }) if id == *wanted => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Where the last `lines` lines begin.
async fn tail_start(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    let mut found = 0;
    let mut end = length;
    let mut block = vec![0; BLOCK_BYTES];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES as u64);
        let size = usize::try_from(end - start).unwrap_or(BLOCK_BYTES);
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut block[..size]).await?;
        for (place, byte) in block[..size].iter().enumerate().rev() {
            let position = start + place as u64;
            // The line feed that ends the last line begins no further line.
            if *byte == b'\n' && position + 1 < length {
                found += 1;
                if found == lines {
                    return Ok(position + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(wanted: &Wanted, lines: &[&str]) -> String {
        let mut out = BytesMut::new();
        for line in lines {
            wanted.render(line.as_bytes(), &mut out);
        }
        String::from_utf8(out.to_vec()).unwrap()
    }

    const LINES: [&str; 4] = [
        "2026-11-21T13:00:00.000000001Z stdout F one two",
        "2026-11-21T13:00:01Z stderr P par",
        "2026-11-21T13:00:01Z stderr F tial",
        "2026-11-21T13:00:02Z stdout F ",
    ];

    #[test]
    fn lines() {
        assert_eq!(render(&Wanted::default(), &LINES), "one two\npartial\n\n");
        let stamped = Wanted { timestamps: true, ..Wanted::default() };
        assert!(render(&stamped, &LINES).starts_with("2026-11-21T13:00:00.000000001Z one two\n"));
        let since = Wanted { since: Some("2026-11-21T13:00:01Z".parse().unwrap()), ..Wanted::default() };
        assert_eq!(render(&since, &LINES), "partial\n\n");
        let stderr = Wanted { stream: Some("stderr"), ..Wanted::default() };
        assert_eq!(render(&stderr, &LINES), "partial\n");
        assert_eq!(render(&Wanted::default(), &["nonsense", ""]), "");
    }

    #[tokio::test]
    async fn tails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let long = "x".repeat(BLOCK_BYTES);
        for (text, lines, expected) in [
            ("a\nb\nc\n".to_owned(), 2, "b\nc\n".to_owned()),
            ("a\nb\nc".to_owned(), 2, "b\nc".to_owned()),
            ("a\nb\n".to_owned(), 5, "a\nb\n".to_owned()),
            ("a\n".to_owned(), 0, String::new()),
            (String::new(), 3, String::new()),
            (format!("a\n{long}\nb\n"), 2, format!("{long}\nb\n")),
        ] {
            std::fs::write(&path, &text).unwrap();
            let mut file = File::open(&path).await.unwrap();
            let start = tail_start(&mut file, lines).await.unwrap();
            assert_eq!(text[usize::try_from(start).unwrap()..], expected);
        }
    }
}
