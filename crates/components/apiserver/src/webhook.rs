//! Calling webhooks: JSON over HTTPS to somebody who may hang, lie or answer without end.
//!
//! [`Endpoint`] is one `clientConfig` (admission, conversion) or one server of a kubeconfig (authentication,
//! authorisation, audit), made once and kept while its configuration stands. It keeps its connections. A call has a time
//! limit over everything and a bound on what is read; its errors read as those of Go's HTTP client.

mod review;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use minato_mvcc::{Key, Memory};
use minato_pki::Issued;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::Credentials;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 10 << 20;
/// Connections of an endpoint that are kept for the next call.
const IDLE_MAX: usize = 32;
/// How long one is kept.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Where Debian and most others keep the authorities that everybody trusts.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Why a call has no answer, in the words of Go's HTTP client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The `clientConfig` or URL cannot be used.
    #[error("{0}")]
    Config(String),
    /// Nobody answered as HTTP.
    #[error("Post {url:?}: {why}")]
    Transport { url: String, why: String },
    /// The answer is not a success.
    #[error("{message}")]
    Status { code: u16, message: String },
    /// The answer is too long.
    #[error("Post {url:?}: the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong { url: String },
}

/// Whom to call.
#[derive(Debug)]
enum Place {
    Url { host: String, port: u16 },
    Service { namespace: String, name: String, port: u16 },
}

/// A webhook's address, trust and connections.
pub(crate) struct Endpoint {
    place: Place,
    /// As errors name it, without the time limit.
    url: String,
    /// Path and query.
    path: String,
    /// As the `Host` header and the certificate have it.
    host_name: String,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<HeaderValue>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    address: String,
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Endpoint {
    /// The endpoint of a `WebhookClientConfig`: `url` or `service`, and `caBundle`. The server is shown those of
    /// `credentials` that are for it.
    pub(crate) fn of_client_config(config: &Value, credentials: &Credentials) -> Result<Self, CallError> {
        let wrong = |why: &str| CallError::Config(why.to_owned());
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        let bundle = STANDARD.decode(bundle).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let bundle = bundle.ok_or_else(|| wrong("the caBundle is not base64 of a PEM file"))?;
        let bundle = Some(bundle.as_str()).filter(|bundle| !bundle.is_empty());
        if let Some(url) = config["url"].as_str() {
            let mut endpoint = Self::of_url(url, None, None)?;
            let Place::Url { host, port } = &endpoint.place else { return Ok(endpoint) };
            let shown = credentials.of(host, *port);
            if url.starts_with("https:") {
                endpoint.tls = Some(Arc::new(tls(bundle, shown.and_then(|shown| shown.identity.as_ref()))?));
            }
            endpoint.authorization = shown.and_then(|shown| shown.authorization.clone());
            return Ok(endpoint);
        }
        let service = &config["service"];
        let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let path = match service["path"].as_str().unwrap_or_default() {
            "" => "/".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        let host_name = format!("{name}.{namespace}.svc");
        let url = format!("https://{host_name}:{port}{path}");
        let shown = credentials.of(&host_name, port);
        Ok(Self {
            place: Place::Service { namespace, name, port },
            url,
            path,
            tls: Some(Arc::new(tls(bundle, shown.and_then(|shown| shown.identity.as_ref()))?)),
            authorization: shown.and_then(|shown| shown.authorization.clone()),
            host_name,
            idle: Mutex::default(),
        })
    }

    /// The endpoint of a URL; with TLS where it is `https`. `authorization` is sent with every call.
    pub(crate) fn of_url(
        url: &str,
        tls: Option<ClientConfig>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, CallError> {
        let wrong = |why: &str| CallError::Config(format!("{url:?}: {why}"));
        let parsed: http::Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let encrypted = parsed.scheme_str() == Some("https");
        let host = parsed.host().ok_or_else(|| wrong("no host in the URL"))?.trim_matches(['[', ']']).to_owned();
        let port = parsed.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let path = parsed.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self {
            place: Place::Url { host: host.clone(), port },
            url: url.to_owned(),
            path,
            host_name: host,
            tls: if encrypted { tls.map(Arc::new) } else { None },
            authorization,
            idle: Mutex::default(),
        })
    }

    /// Reads what is there, within `limit`.
    pub(crate) async fn get(&self, memory: &Memory, limit: Duration) -> Result<Bytes, CallError> {
        self.call(memory, String::new(), None, limit).await
    }

    /// Posts `body` and reads the answer's body, all within `limit`. Services are looked up in `memory`.
    pub(crate) async fn post(&self, memory: &Memory, body: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let suffix = format!("{separator}timeout={}s", limit.as_secs().max(1));
        self.call(memory, suffix, Some(body), limit).await
    }

    /// POST where there is a body, else GET.
    async fn call(
        &self,
        memory: &Memory,
        suffix: String,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        let url = format!("{}{suffix}", self.url);
        let failed = |why: String| CallError::Transport { url: url.clone(), why };
        let address = self.address(memory).map_err(failed)?;
        let answered = tokio::time::timeout(limit, self.exchange(&address, &suffix, body)).await;
        let failed = |why: String| CallError::Transport { url: url.clone(), why };
        let (code, bytes) = match answered {
            Err(_) => return Err(failed("context deadline exceeded".to_owned())),
            Ok(Err(Failure::TooLong)) => return Err(CallError::TooLong { url }),
            Ok(Err(Failure::Other(why))) => return Err(failed(why)),
            Ok(Ok(answer)) => answer,
        };
        if code.is_success() {
            return Ok(bytes);
        }
        Err(CallError::Status { code: code.as_u16(), message: status_text(code, &bytes) })
    }

    /// Host and port to connect to.
    fn address(&self, memory: &Memory) -> Result<String, String> {
        let joined = |host: &str, port: u16| match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            _ => format!("{host}:{port}"),
        };
        match &self.place {
            Place::Url { host, port } => Ok(joined(host, *port)),
            Place::Service { namespace, name, port } => {
                let (host, port) = resolve(memory, namespace, name, *port)?;
                Ok(joined(&host, port))
            }
        }
    }

    async fn exchange(&self, address: &str, suffix: &str, body: Option<Bytes>) -> Result<(StatusCode, Bytes), Failure> {
        // A connection that was kept may have been closed meanwhile: then the call has not been read, and is made again.
        while let Some(mut sender) = self.kept(address) {
            let request = self.request(suffix, body.clone())?;
            match sender.try_send_request(request).await {
                Ok(response) => return self.read(address, sender, response).await,
                Err(mut error) => {
                    if error.take_message().is_none() {
                        return Err(Failure::Other(error.into_error().to_string()));
                    }
                }
            }
        }
        let mut sender = self.connect(address).await.map_err(Failure::Other)?;
        let request = self.request(suffix, body)?;
        let response = sender.send_request(request).await.map_err(|error| Failure::Other(error.to_string()))?;
        self.read(address, sender, response).await
    }

    async fn read(
        &self,
        address: &str,
        sender: SendRequest<Full<Bytes>>,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let code = response.status();
        let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = read
            .map_err(|error| match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => Failure::TooLong,
                None => Failure::Other(error.to_string()),
            })?
            .to_bytes();
        let mut idle = self.idle.lock();
        idle.retain(|kept| kept.since.elapsed() < IDLE_TIME && !kept.sender.is_closed());
        if idle.len() < IDLE_MAX {
            idle.push(Idle { address: address.to_owned(), sender, since: Instant::now() });
        }
        Ok((code, bytes))
    }

    /// A kept connection that can be used.
    fn kept(&self, address: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock();
        let place = idle
            .iter()
            .rposition(|kept| kept.address == address && kept.sender.is_ready() && kept.since.elapsed() < IDLE_TIME)?;
        Some(idle.swap_remove(place).sender)
    }

    fn request(&self, suffix: &str, body: Option<Bytes>) -> Result<Request<Full<Bytes>>, Failure> {
        let host = match &self.place {
            Place::Url { host, port } => format!("{host}:{port}"),
            Place::Service { port, .. } => format!("{}:{port}", self.host_name),
        };
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{suffix}", self.path))
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission");
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(body.unwrap_or_default())).map_err(|error| Failure::Other(error.to_string()))
    }

    async fn connect(&self, address: &str) -> Result<SendRequest<Full<Bytes>>, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| dial_error(address, &error))?;
        let _ = socket.set_nodelay(true);
        let Some(tls) = &self.tls else { return begin(TokioIo::new(socket)).await };
        let name = ServerName::try_from(self.host_name.clone())
            .map_err(|_| format!("{:?} is not a name that a certificate can be for", self.host_name))?;
        let stream =
            TlsConnector::from(Arc::clone(tls)).connect(name, socket).await.map_err(|error| tls_error(&error))?;
        begin(TokioIo::new(stream)).await
    }
}

enum Failure {
    TooLong,
    Other(String),
}

async fn begin<T>(stream: T) -> Result<SendRequest<Full<Bytes>>, String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(stream).await.map_err(|error| error.to_string())?;
    // Ends when the endpoint lets go of its sender, or the other side of the connection.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook ended");
        }
    });
    Ok(sender)
}

/// Trusts the authorities of `bundle`, or those of the system; shows `identity` to whoever asks.
pub(crate) fn tls(bundle: Option<&str>, identity: Option<&Issued>) -> Result<ClientConfig, CallError> {
    let system;
    let pem = match bundle {
        Some(pem) => pem,
        None => {
            system = SYSTEM_ROOTS.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            &system
        }
    };
    minato_pki::client_config(pem, identity, &["http/1.1"]).map_err(|error| {
        CallError::Config(format!("unable to load root certificates: {}", crate::write::chain(&error)))
    })
}

/// A ready endpoint of a service's port, or its cluster IP.
pub(crate) fn resolve(memory: &Memory, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String> {
    let key = Key::new("core/services", namespace, name);
    let service = memory.get(&key).ok_or_else(|| format!("service {name:?} not found"))?;
    let service: Value = serde_json::from_slice(&service.value).map_err(|error| error.to_string())?;
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return Ok((spec["externalName"].as_str().unwrap_or_default().to_owned(), port));
    }
    let ports = spec["ports"].as_array().into_iter().flatten();
    let found = ports.into_iter().find(|have| have["port"].as_u64() == Some(port.into()));
    let found = found.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let port_name = found["name"].as_str().unwrap_or_default();
    let mut ready = Vec::new();
    for slice in memory.snapshot("discovery.k8s.io/endpointslices").iter_namespace(namespace) {
        if slice.attributes.label("kubernetes.io/service-name") != Some(name) {
            continue;
        }
        let slice: Value = serde_json::from_slice(&slice.value).map_err(|error| error.to_string())?;
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let number = ports
            .find(|have| have["name"].as_str().unwrap_or_default() == port_name)
            .and_then(|have| u16::try_from(have["port"].as_u64()?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"].as_bool() != Some(false) {
                let addresses = endpoint["addresses"].as_array().into_iter().flatten();
                ready.extend(addresses.filter_map(|address| Some((address.as_str()?.to_owned(), number))));
            }
        }
    }
    if ready.is_empty() {
        return Err(format!("no endpoints available for service {name:?}"));
    }
    // Another one each time.
    let any = uuid::Uuid::new_v4().as_u128() as usize % ready.len();
    Ok(ready.swap_remove(any))
}

fn dial_error(address: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

fn tls_error(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned(),
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. },
        )) => "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned(),
        Some(other) => format!("tls: failed to verify certificate: {other}"),
        None => error.to_string(),
    }
}

/// What client-go says of an answer that is no success.
fn status_text(code: StatusCode, bytes: &Bytes) -> String {
    if let Ok(status) = serde_json::from_slice::<Value>(bytes)
        && status["kind"] == "Status"
        && let Some(message) = status["message"].as_str()
    {
        return message.to_owned();
    }
    match code.as_u16() {
        400 => "the server rejected our request for an unknown reason".to_owned(),
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 => "forbidden".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        code if code >= 500 => {
            let text: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            let text = if text.trim().is_empty() { "unknown".to_owned() } else { text.trim().to_owned() };
            format!("an error on the server ({text:?}) has prevented the request from succeeding")
        }
        code => format!("the server responded with the status code {code} but did not return more information"),
    }
}
