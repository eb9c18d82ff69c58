//! `/exec` and `/attach`: a process's streams over one WebSocket.
//!
//! Every binary message begins with the number of its channel. In `v5.channel.k8s.io` a message `[255, n]` closes
//! channel n, which is how standard input comes to its end; in `v4` only the end of the connection does.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use minato_runtime::{
    ContainerId, ContainerState, ContainerStatus, ExecRequest, ExitCode, Input, Output, Resizer, RuntimeError,
    TerminalSize,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Server;
use super::query::Query;
use super::reply::{Body, Refusal};
use super::websocket::{Socket, farewell, negotiate};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const BLOCK_BYTES: usize = 32 * 1024;
const QUEUE_MAX: usize = 16;

/// The streams of a process, wherever they come from.
struct Streams {
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    resizer: Option<Resizer>,
    /// `None` for attach: the container's end is the end of its output.
    exit_code: Option<ExitCode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

impl Server {
    /// A running container of a pod.
    fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<ContainerStatus, Refusal> {
        let not_found = || Refusal::new(StatusCode::NOT_FOUND, "NotFound", format!("pod \"{pod}\" not found"));
        let handle = self.pods.find(namespace, pod).ok_or_else(not_found)?;
        let picture = handle.picture.read();
        let mut attempts = picture.containers.iter().filter(|status| status.name == container);
        let running = attempts.find(|status| matches!(status.state, ContainerState::Running { .. })).cloned();
        running.ok_or_else(|| {
            Refusal::internal(format!("unable to upgrade connection: container not found (\"{container}\")"))
        })
    }

    pub(super) async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let id = self.running(namespace, pod, container)?.id;
        let tty = query.flag(&["tty"]);
        let wanted = ExecRequest {
            command: query.all("command").map(str::to_owned).collect(),
            tty,
            stdin: query.flag(&["stdin", "input"]),
            stdout: query.flag(&["stdout", "output"]),
            stderr: query.flag(&["stderr", "error"]) && !tty,
        };
        if wanted.command.is_empty() {
            return Err(Refusal::bad_request("you must specify at least one command for the container"));
        }
        let upgrade = negotiate(request, &PROTOCOLS)?;
        let version5 = upgrade.protocol == PROTOCOLS[0];
        let (response, socket) = upgrade.accept();
        let runtime = self.node.runtime.clone();
        self.serve_streams("exec", async move {
            let Some(socket) = socket.await else { return };
            match runtime.exec(&id, wanted).await {
                Ok(session) => {
                    let streams = Streams {
                        stdin: session.stdin,
                        stdout: session.stdout,
                        stderr: session.stderr,
                        resizer: session.resizer,
                        exit_code: Some(session.exit_code),
                    };
                    connect(socket, streams, version5).await;
                }
                Err(error) => refuse(socket, &error, &id).await,
            }
        });
        Ok(response)
    }

    pub(super) async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let id = self.running(namespace, pod, container)?.id;
        let stdin = query.flag(&["stdin", "input"]);
        let stdout = query.flag(&["stdout", "output"]);
        let stderr = query.flag(&["stderr", "error"]);
        let upgrade = negotiate(request, &PROTOCOLS)?;
        let version5 = upgrade.protocol == PROTOCOLS[0];
        let (response, socket) = upgrade.accept();
        let runtime = self.node.runtime.clone();
        self.serve_streams("attach", async move {
            let Some(socket) = socket.await else { return };
            match runtime.attach(&id).await {
                Ok(session) => {
                    let streams = Streams {
                        stdin: session.stdin.filter(|_| stdin),
                        stdout: session.stdout.filter(|_| stdout),
                        stderr: session.stderr.filter(|_| stderr),
                        resizer: session.resizer,
                        exit_code: None,
                    };
                    connect(socket, streams, version5).await;
                }
                Err(error) => refuse(socket, &error, &id).await,
            }
        });
        Ok(response)
    }

    pub(super) fn serve_streams(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) {
        let ending = self.scope.clone();
        self.scope.spawn(name, async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = work => {}
            }
        });
    }
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

/// The final word on the error channel.
fn outcome(exit_code: Option<Result<i32, RuntimeError>>) -> Value {
    match exit_code {
        None | Some(Ok(0)) => json!({"metadata": {}, "status": "Success"}),
        Some(Ok(code)) => non_zero(code),
        // As with a shell: not found is 127, not executable 126.
        Some(Err(RuntimeError::Exec { message, exit_code })) => {
            let mut status = non_zero(exit_code);
            status["message"] = json!(message);
            status
        }
        Some(Err(error)) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": format!("Internal error occurred: {}", chain(&error)),
        }),
    }
}

fn non_zero(code: i32) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

async fn refuse(mut socket: Socket, error: &RuntimeError, id: &ContainerId) {
    tracing::debug!(container = %id, error = error as &dyn std::error::Error, "no streams");
    let status = json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!("Internal error occurred: error executing command in container: {}", chain(error)),
    });
    // The client may have gone.
    let _ = socket.send(message(ERROR, status.to_string().as_bytes())).await;
    let _ = socket.send(farewell()).await;
}

/// Carries bytes both ways until the process has ended and all its output is sent, or the client is gone.
async fn connect(socket: Socket, streams: Streams, version5: bool) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Message>(QUEUE_MAX);
    let Streams { mut stdin, stdout, stderr, resizer, exit_code } = streams;
    let first = match (&stdout, &stderr) {
        (Some(_), _) => STDOUT,
        (None, Some(_)) => STDERR,
        _ => ERROR,
    };
    let output = async {
        // As upstream: an empty message tells the client that the streams stand.
        if sender.send(message(first, &[])).await.is_err() {
            return;
        }
        tokio::join!(copy(stdout, STDOUT, &sender), copy(stderr, STDERR, &sender));
        let code = match exit_code {
            Some(code) => Some(code.await),
            None => None,
        };
        // The client may have gone.
        let _ = sender.send(message(ERROR, outcome(code).to_string().as_bytes())).await;
        drop(sender);
    };
    let write = async {
        while let Some(next) = queue.recv().await {
            if sink.send(next).await.is_err() {
                return;
            }
        }
        let _ = sink.send(farewell()).await;
    };
    let input = async {
        while let Some(Ok(received)) = source.next().await {
            let data: Bytes = match received {
                Message::Binary(data) => data,
                Message::Text(text) => text.into(),
                Message::Close(_) => return,
                _ => continue,
            };
            let Some((channel, data)) = data.split_first() else { continue };
            match *channel {
                STDIN => {
                    if let Some(writer) = &mut stdin
                        && (writer.write_all(data).await.is_err() || writer.flush().await.is_err())
                    {
                        stdin = None;
                    }
                }
                RESIZE => {
                    let size = serde_json::from_slice::<Size>(data).ok();
                    if let (Some(resizer), Some(size)) = (&resizer, size) {
                        let size = TerminalSize { columns: size.width, rows: size.height };
                        if let Err(error) = resizer.resize(size) {
                            tracing::debug!(error = &error as &dyn std::error::Error, "terminal not resized");
                        }
                    }
                }
                CLOSE if version5 && data.first() == Some(&STDIN) => stdin = None,
                _ => {}
            }
        }
    };
    let outgoing = async { tokio::join!(output, write) };
    tokio::select! {
        _ = outgoing => {}
        () = input => {}
    }
}

async fn copy(from: Option<Output>, channel: u8, to: &mpsc::Sender<Message>) {
    let Some(mut from) = from else { return };
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut block).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if to.send(message(channel, &block[..read])).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        assert_eq!(outcome(Some(Ok(0)))["status"], "Success");
        let failure = outcome(Some(Ok(3)));
        assert_eq!(failure["reason"], "NonZeroExitCode");
        assert_eq!(failure["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
    }
}
