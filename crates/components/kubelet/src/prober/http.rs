//! A question to a container over HTTP.

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

/// As Go's client.
const REDIRECTS_MAX: usize = 10;

/// What to ask whom.
#[derive(Clone)]
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

impl HttpTarget {
    /// Where a redirect leads, from here; `None` for what is no place over HTTP.
    fn redirected(&self, location: &str) -> Option<Self> {
        let mut next = self.clone();
        let rest = match location.split_once("://") {
            Some((scheme, rest)) => {
                next.tls = match scheme.to_ascii_lowercase().as_str() {
                    "http" => false,
                    "https" => true,
                    _ => return None,
                };
                rest
            }
            None => match location.strip_prefix("//") {
                Some(rest) => rest,
                None => {
                    next.path = match location.split('#').next()? {
                        path if path.starts_with('/') => path.to_owned(),
                        path => {
                            let here = self.path.split('?').next().unwrap_or_default();
                            format!("{}/{path}", here.rsplit_once('/').map_or("", |(folder, _)| folder))
                        }
                    };
                    return Some(next);
                }
            },
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority: http::uri::Authority = authority.parse().ok()?;
        next.host = authority.host().trim_matches(['[', ']']).to_owned();
        next.port = authority.port_u16().unwrap_or(if next.tls { 443 } else { 80 });
        let path = path.split('#').next().unwrap_or_default();
        next.path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(next)
    }
}

/// The last answer to a question.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where a redirect leads.
    location: Option<String>,
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

/// Sends a GET, and follows redirects as far as they stay on the host that was asked first.
pub(crate) async fn get(target: &HttpTarget) -> Result<Answer, String> {
    let mut place = target.clone();
    for _ in 0..=REDIRECTS_MAX {
        let answer = ask(&place).await?;
        let next = answer.location.as_deref().and_then(|location| place.redirected(location));
        match next {
            Some(next) if next.host == target.host => place = next,
            _ => return Ok(answer),
        }
    }
    Err(format!("stopped after {REDIRECTS_MAX} redirects"))
}

async fn ask(target: &HttpTarget) -> Result<Answer, String> {
    let stream = connect(&target.host, target.port).await?;
    if !target.tls {
        return exchange(stream, target).await;
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(tls::config()?);
    let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
    exchange(stream, target).await
}

async fn exchange<S>(stream: S, target: &HttpTarget) -> Result<Answer, String>
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
        let redirects = matches!(status, 301 | 302 | 303 | 307 | 308);
        let location = response.headers().get(http::header::LOCATION).filter(|_| redirects);
        let location = location.and_then(|location| location.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len());
            if seen > BODY_BYTES_MAX {
                break;
            }
        }
        Ok(Answer { status, location })
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answered = &mut answer => answered,
        ended = &mut connection => match ended {
            // The connection may end before the answer has been read from its buffer.
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_on() {
        let here = HttpTarget {
            host: "10.0.0.1".to_owned(),
            port: 8080,
            tls: false,
            path: "/a/b?c".to_owned(),
            headers: Vec::new(),
        };
        for (location, expected) in [
            ("/x?y=1#z", Some("http://10.0.0.1:8080/x?y=1")),
            ("x", Some("http://10.0.0.1:8080/a/x")),
            ("//10.0.0.2/x", Some("http://10.0.0.2:80/x")),
            ("https://10.0.0.1", Some("https://10.0.0.1:443/")),
            ("HTTP://example.com:81?q", Some("http://example.com:81/?q")),
            ("http://[::1]:9/x", Some("http://[::1]:9/x")),
            ("ftp://10.0.0.1/", None),
            ("http://bad host/", None),
        ] {
            assert_eq!(here.redirected(location).map(|next| next.url()).as_deref(), expected, "{location}");
        }
    }
}
