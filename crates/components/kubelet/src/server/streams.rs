//! `/exec` and `/attach`: a process's streams over one connection of the client's, WebSocket (see [`channels`]) or SPDY
//! (see [`substreams`]).

mod channels;
mod substreams;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use minato_runtime::{
    AttachSession, ContainerState, ContainerStatus, ExecRequest, ExecSession, ExitCode, Input, Output, Resizer,
    RuntimeError, TerminalSize,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::Server;
use super::query::Query;
use super::reply::{Body, Refusal};
use super::{spdy, websocket};

const BLOCK_BYTES: usize = 32 * 1024;

/// Which streams a client wants.
#[derive(Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    fn new(query: &Query) -> Self {
        let tty = query.flag(&["tty"]);
        Self {
            stdin: query.flag(&["stdin", "input"]),
            stdout: query.flag(&["stdout", "output"]),
            // A terminal has one output.
            stderr: query.flag(&["stderr", "error"]) && !tty,
            tty,
        }
    }
}

/// The streams of a process, wherever they come from.
struct Streams {
    input: Controls,
    stdout: Option<Output>,
    stderr: Option<Output>,
    /// `None` for attach: the container's end is the end of its output.
    exit_code: Option<ExitCode>,
}

impl From<ExecSession> for Streams {
    fn from(session: ExecSession) -> Self {
        Self {
            input: Controls { stdin: session.stdin, resizer: session.resizer },
            stdout: session.stdout,
            stderr: session.stderr,
            exit_code: Some(session.exit_code),
        }
    }
}

impl Streams {
    fn attached(session: AttachSession, wanted: Wanted) -> Self {
        Self {
            input: Controls { stdin: session.stdin.filter(|_| wanted.stdin), resizer: session.resizer },
            stdout: session.stdout.filter(|_| wanted.stdout),
            stderr: session.stderr.filter(|_| wanted.stderr),
            exit_code: None,
        }
    }
}

/// What a client can do to a process.
struct Controls {
    /// `None` when it has come to its end.
    stdin: Option<Input>,
    resizer: Option<Resizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

impl Controls {
    async fn write(&mut self, data: &[u8]) {
        if let Some(writer) = &mut self.stdin
            && (writer.write_all(data).await.is_err() || writer.flush().await.is_err())
        {
            self.stdin = None;
        }
    }

    fn resize(&self, size: &Size) {
        let Some(resizer) = &self.resizer else { return };
        if let Err(error) = resizer.resize(TerminalSize { columns: size.width, rows: size.height }) {
            tracing::debug!(error = &error as &dyn std::error::Error, "terminal not resized");
        }
    }
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
        let wanted = Wanted::new(query);
        let Wanted { stdin, stdout, stderr, tty } = wanted;
        let command: Vec<String> = query.all("command").map(str::to_owned).collect();
        if command.is_empty() {
            return Err(Refusal::bad_request("you must specify at least one command for the container"));
        }
        let runtime = self.node.runtime.clone();
        self.converse("exec", request, wanted, async move {
            let session = runtime.exec(&id, ExecRequest { command, tty, stdin, stdout, stderr }).await?;
            Ok(session.into())
        })
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
        let wanted = Wanted::new(query);
        let runtime = self.node.runtime.clone();
        self.converse("attach", request, wanted, async move {
            let session = runtime.attach(&id).await?;
            Ok(Streams::attached(session, wanted))
        })
    }

    /// Takes over the connection and, once the client is ready, starts what has the streams.
    fn converse(
        &self,
        name: &str,
        request: Request<Incoming>,
        wanted: Wanted,
        start: impl Future<Output = Result<Streams, RuntimeError>> + Send + 'static,
    ) -> Result<Response<Body>, Refusal> {
        if spdy::is_wanted(&request) {
            let upgrade = spdy::negotiate(request, &substreams::PROTOCOLS)?;
            let protocol = upgrade.protocol;
            let (response, connection) = upgrade.accept();
            self.serve_streams(name, async move {
                if let Some(connection) = connection.await {
                    connection.serve(|session| substreams::run(session, protocol, wanted, start)).await;
                }
            });
            return Ok(response);
        }
        let upgrade = websocket::negotiate(request, &channels::PROTOCOLS)?;
        let protocol = upgrade.protocol;
        let (response, socket) = upgrade.accept();
        self.serve_streams(name, async move {
            if let Some(socket) = socket.await {
                channels::run(socket, protocol, start).await;
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
        Some(Err(error)) => internal(&chain(&error)),
    }
}

fn non_zero(code: i32) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn internal(message: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!("Internal error occurred: {message}"),
    })
}

/// The outcome in a protocol's form: the status as JSON, or its text alone.
fn said(status: &Value, json: bool) -> String {
    match &status["status"] {
        _ if json => status.to_string(),
        status if status == "Success" => String::new(),
        _ => status["message"].as_str().unwrap_or_default().to_owned(),
    }
}

/// The final word when nothing was started.
fn refusal(error: &RuntimeError) -> Value {
    tracing::debug!(error = error as &dyn std::error::Error, "no streams");
    internal(&format!("error executing command in container: {}", chain(error)))
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Sends all of an output on, each block as `pack` makes it ready.
async fn copy<M>(from: Option<Output>, to: &mpsc::Sender<M>, pack: impl Fn(&[u8]) -> M) {
    let Some(mut from) = from else { return };
    let mut block = vec![0; BLOCK_BYTES];
    while let Ok(read @ 1..) = from.read(&mut block).await {
        if to.send(pack(&block[..read])).await.is_err() {
            return;
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

    #[test]
    fn old_protocols_tell_failures_as_text() {
        let failure = outcome(Some(Ok(3)));
        assert_eq!(said(&failure, false), "command terminated with non-zero exit code: exit status 3");
        assert!(said(&failure, true).contains("NonZeroExitCode"));
        assert_eq!(said(&outcome(Some(Ok(0))), false), "");
        assert_eq!(said(&outcome(Some(Ok(0))), true), r#"{"metadata":{},"status":"Success"}"#);
    }
}
