//! One HTTP request to a container.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{port_number, tls};

const BODY_BYTES_MAX: usize = 10 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What to ask whom.
pub(crate) struct HttpTarget {
    host: String,
    port: u16,
    tls: bool,
    path: String,
    headers: Vec<(String, String)>,
}

impl HttpTarget {
    /// Reads an `httpGet`.
    pub(crate) fn new(get: &HTTPGetAction, container: &Container, pod_ip: &str) -> Result<Self, String> {
        let path = get.path.as_deref().unwrap_or("/");
        let headers = get.http_headers.iter().flatten();
        Ok(Self {
            host: get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_owned()),
            port: port_number(&get.port, container)?,
            tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// As events show it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }
}

/// Connects, in Go's words if that fails.
pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let fail = |what: &str| format!("dial tcp {host}:{port}: {what}");
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            std::io::ErrorKind::ConnectionRefused => fail("connect: connection refused"),
            std::io::ErrorKind::HostUnreachable => fail("connect: no route to host"),
            std::io::ErrorKind::NetworkUnreachable => fail("connect: network is unreachable"),
            _ => fail(&error.to_string()),
        }),
        Err(_) => Err(fail("i/o timeout")),
    }
}

/// Sends a GET and answers with the status code.
pub(crate) async fn get(target: &HttpTarget) -> Result<u16, String> {
    let stream = connect(&target.host, target.port).await?;
    if !target.tls {
        return exchange(stream, target).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(tls::config()?);
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    exchange(stream, target).await
}

async fn exchange<S>(stream: S, target: &HttpTarget) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = http::Request::get(&target.path);
    let mut host = target.authority();
    let mut agent = concat!("kube-probe/1.36 minato/", env!("CARGO_PKG_VERSION")).to_owned();
    let mut accept = "*/*".to_owned();
    for (name, value) in &target.headers {
        match name.to_ascii_lowercase().as_str() {
            "host" => host.clone_from(value),
            "user-agent" => agent.clone_from(value),
            "accept" => accept.clone_from(value),
            _ => request = request.header(name, value),
        }
    }
    request = request.header("user-agent", agent).header("accept", accept).header("connection", "close");
    let request = request.header("host", host).body(Empty::<bytes::Bytes>::new()).map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len());
            if seen > BODY_BYTES_MAX {
                break;
            }
        }
        Ok(status)
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        status = &mut answer => status,
        ended = &mut connection => match ended {
            // The connection may end before the answer has been read from its buffer.
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
