//! Requests that a node's kubelet answers: logs, exec, attach, port-forward.
//!
//! The API server speaks none of these protocols. It finds the pod's node, opens a TLS connection to its kubelet, sends
//! the client's request on with the kubelet's path, and then hands bytes through in both directions, unchanged. So every
//! protocol that kubelet and client agree on works: WebSocket, SPDY, or one that is yet to come.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use minato_http::BoxError;
use minato_kinds::Subresource;
use minato_mvcc::Key;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::{RequestBody, ResponseBody};
use crate::call::Call;
use crate::status::ApiError;
use crate::write::parse;

/// The port of a kubelet that does not say.
const KUBELET_PORT: u64 = 10_250;

/// Connects to kubelets, proving to be the API server.
pub(crate) struct Tunnel {
    connector: TlsConnector,
}

/// Where a pod's kubelet is.
struct Kubelet {
    node: String,
    host: String,
    port: u16,
}

impl Tunnel {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { connector: TlsConnector::from(tls) }
    }

    /// GET of `log`.
    pub(crate) async fn logs(
        &self,
        call: &Call,
        name: &str,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        self.forward(call, name, "containerLogs", request).await
    }

    /// A connection to a process or port of a pod.
    pub(crate) async fn connect(
        &self,
        call: &Call,
        name: &str,
        subresource: Subresource,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let path = match subresource {
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            _ => "portForward",
        };
        self.forward(call, name, path, request).await
    }

    async fn forward(
        &self,
        call: &Call,
        name: &str,
        kind: &str,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let key = call.target().key_of(name);
        let pod = parse(&*call.core.memory().get(&key).ok_or_else(|| call.resource.not_found(name))?)?;
        let kubelet = kubelet(call, &pod)?;
        let mut path = format!("/{kind}/{}/{name}", call.namespace);
        if kind != "portForward" {
            path.push('/');
            path.push_str(&container(call, &pod, name)?);
        }
        if let Some(query) = request.uri().query() {
            path.push('?');
            path.push_str(query);
        }
        let uri: Uri = path.parse().map_err(|_| ApiError::bad_request("the query is not a valid URI"))?;
        let from_client = hyper::upgrade::on(&mut request);
        let headers = request.headers_mut();
        headers.remove(header::AUTHORIZATION);
        if let Ok(host) = HeaderValue::from_str(&format!("{}:{}", kubelet.host, kubelet.port)) {
            headers.insert(header::HOST, host);
        }
        let upgrades = request.headers().contains_key(header::UPGRADE);
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_11;
        request.extensions_mut().clear();
        let mut response = self.send(&kubelet, request).await?;
        if upgrades && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let from_kubelet = hyper::upgrade::on(&mut response);
            call.core.scope.spawn("tunnel", async move {
                let (Ok(client), Ok(kubelet)) = tokio::join!(from_client, from_kubelet) else { return };
                let ended = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(kubelet)).await;
                if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel to a kubelet ended");
                }
            });
        }
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, stream(body)))
    }

    async fn send(
        &self,
        kubelet: &Kubelet,
        request: Request<RequestBody>,
    ) -> Result<Response<hyper::body::Incoming>, ApiError> {
        let failed = |error: &dyn std::fmt::Display| {
            ApiError::internal(format!(
                "error dialing backend: node {} ({}:{}): {error}",
                kubelet.node, kubelet.host, kubelet.port
            ))
        };
        let server = ServerName::try_from(kubelet.host.clone()).map_err(|e| failed(&e))?;
        let socket = TcpStream::connect((kubelet.host.as_str(), kubelet.port)).await.map_err(|e| failed(&e))?;
        let _ = socket.set_nodelay(true);
        let stream = self.connector.connect(server, socket).await.map_err(|e| failed(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        // The connection lives as long as its one response, or the tunnel that comes of it.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a kubelet ended");
            }
        });
        sender.send_request(request).await.map_err(|e| failed(&e))
    }
}

fn stream(body: hyper::body::Incoming) -> ResponseBody {
    let chunks = body.into_data_stream();
    ResponseBody::chunks(futures::TryStreamExt::map_err(chunks, |error| -> BoxError { error.into() }))
}

fn kubelet(call: &Call, pod: &Value) -> Result<Kubelet, ApiError> {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let name = crate::object::text(pod, "name");
    if node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let found = call.core.memory().get(&Key::new("core/nodes", "", node));
    let found =
        parse(&*found.ok_or_else(|| {
            ApiError::not_found(&crate::status::Subject { group: "", resource: "nodes", name: node })
        })?)?;
    let status = &found["status"];
    let address = |kind: &str| {
        let all = status["addresses"].as_array()?;
        all.iter().find(|address| address["type"] == kind)?["address"].as_str().map(str::to_owned)
    };
    let host = address("InternalIP").or_else(|| address("Hostname"));
    let host = host.ok_or_else(|| ApiError::internal(format!("node {node} has not told its address yet")))?;
    let port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap_or(KUBELET_PORT);
    let port =
        u16::try_from(port).map_err(|_| ApiError::internal(format!("node {node} has told a wrong port: {port}")))?;
    Ok(Kubelet { node: node.to_owned(), host, port })
}

/// The container that is meant: the one named, else the annotated or only one.
fn container(call: &Call, pod: &Value, name: &str) -> Result<String, ApiError> {
    let spec = &pod["spec"];
    let names = |list: &str| -> Vec<&str> {
        spec[list].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let containers = names("containers");
    if let Some(asked) = call.query.get("container") {
        let known = [&containers[..], &names("initContainers"), &names("ephemeralContainers")].concat();
        if known.contains(&asked) {
            return Ok(asked.to_owned());
        }
        return Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    match (containers.as_slice(), annotated) {
        ([only], _) => Ok((*only).to_owned()),
        (all, Some(annotated)) if all.contains(&annotated) => Ok(annotated.to_owned()),
        (all, _) => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}
