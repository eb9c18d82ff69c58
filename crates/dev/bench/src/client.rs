//! HTTP/1.1 over TLS: a [`Client`] makes [`Connection`]s, each with one request at a time.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::Kubeconfig;

/// What to ask of the server.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    /// Whether the answer is to be in the encoding of the body.
    pub(crate) answers_alike: bool,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            content_type: "application/json",
            answers_alike: false,
            body: Bytes::new(),
        }
    }

    pub(crate) fn post(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { method: Method::POST, body: body.to_string().into(), ..Self::get(path) }
    }

    /// A create whose body and answer are protobuf.
    pub(crate) fn protobuf(path: impl Into<String>, body: Bytes) -> Self {
        let content_type = minato_protobuf::MEDIA_TYPE;
        Self { method: Method::POST, body, content_type, answers_alike: true, ..Self::get(path) }
    }

    pub(crate) fn put(path: impl Into<String>, body: &serde_json::Value) -> Self {
        Self { method: Method::PUT, body: body.to_string().into(), ..Self::get(path) }
    }

    pub(crate) fn merge_patch(path: impl Into<String>, body: &serde_json::Value) -> Self {
        let content_type = "application/merge-patch+json";
        Self { method: Method::PATCH, body: body.to_string().into(), content_type, ..Self::get(path) }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// Deletes at once, without waiting for a node to confirm.
    pub(crate) fn delete_now(path: impl Into<String>) -> Self {
        let options =
            r#"{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"propagationPolicy":"Background"}"#;
        Self { body: Bytes::from_static(options.as_bytes()), ..Self::delete(path) }
    }
}

/// Makes connections. A clone is a pointer copy.
#[derive(Clone)]
pub(crate) struct Client {
    kubeconfig: Arc<Kubeconfig>,
    authorization: Option<HeaderValue>,
}

impl Client {
    pub(crate) fn new(kubeconfig: Kubeconfig) -> anyhow::Result<Self> {
        let header = |token: &String| HeaderValue::from_str(&format!("Bearer {token}"));
        let authorization = kubeconfig.token.as_ref().map(header).transpose()?;
        Ok(Self { kubeconfig: Arc::new(kubeconfig), authorization })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let kubeconfig = &self.kubeconfig;
        let socket = TcpStream::connect(kubeconfig.address).await?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(kubeconfig.tls.clone());
        let stream = connector.connect(kubeconfig.server_name.clone(), socket).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the sender; an error shows in the request that meets it.
        tokio::spawn(connection);
        Ok(Connection { client: self.clone(), sender })
    }

    /// One request on a connection of its own; the body of a successful answer.
    pub(crate) async fn send(&self, call: &Call) -> anyhow::Result<Bytes> {
        let answer = self.connect().await?.send(call).await?;
        answer.require_success(call)
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        self.send(&Call::get(path)).await
    }
}

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The message of a Status, or the start of the body.
    pub(crate) fn message(&self) -> String {
        let status: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let message = status.and_then(|status| status["message"].as_str().map(str::to_owned));
        message.unwrap_or_else(|| String::from_utf8_lossy(&self.body).chars().take(200).collect())
    }

    pub(crate) fn require_success(self, call: &Call) -> anyhow::Result<Bytes> {
        match self.status.is_success() {
            true => Ok(self.body),
            false => bail!("{} {}: {}: {}", call.method, call.path, self.status, self.message()),
        }
    }
}

/// One connection, kept alive.
pub(crate) struct Connection {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, call: &Call) -> anyhow::Result<Answer> {
        let response = self.start(call).await?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(|| call.path.clone())?.to_bytes();
        Ok(Answer { status, body })
    }

    /// Sends a request; the body of the answer is still to be read.
    pub(crate) async fn start(&mut self, call: &Call) -> anyhow::Result<http::Response<Incoming>> {
        if self.sender.ready().await.is_err() {
            // The server closed the idle connection.
            *self = self.client.connect().await?;
            self.sender.ready().await?;
        }
        let mut request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(HOST, &self.client.kubeconfig.authority)
            .header(CONTENT_TYPE, call.content_type);
        if let Some(authorization) = &self.client.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if call.answers_alike {
            request = request.header(ACCEPT, call.content_type);
        }
        let request = request.body(Full::new(call.body.clone()))?;
        self.sender.send_request(request).await.with_context(|| format!("{} {}", call.method, call.path))
    }
}
