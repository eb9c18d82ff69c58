//! Requests that a node's kubelet answers: logs, exec, attach, port-forward.
//!
//! The API server speaks none of these protocols. It finds the pod's node, opens a TLS connection to its kubelet, sends
//! the client's request on with the kubelet's path, and then hands bytes through in both directions, unchanged. So every
//! protocol that kubelet and client agree on works: WebSocket, SPDY, or one that is yet to come.

use std::sync::Arc;

use http::{Request, Response, Uri};
use minato_kinds::Subresource;
use minato_mvcc::Key;
use minato_scope::Scope;
use rustls::ClientConfig;
use serde_json::Value;

use crate::body::{RequestBody, ResponseBody};
use crate::call::Call;
use crate::core::Core;
use crate::relay::{self, Backend};
use crate::status::ApiError;
use crate::write::parse;

/// The port of a kubelet that does not say.
const KUBELET_PORT: u64 = 10_250;

/// Connects to kubelets, proving to be the API server.
pub(crate) struct Tunnel {
    tls: Arc<ClientConfig>,
}

/// Where a node's kubelet is.
pub(crate) struct Kubelet {
    pub(crate) node: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Tunnel {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls }
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
        *request.uri_mut() = uri;
        self.send(&call.core.scope, &kubelet, request).await
    }

    /// Hands `request`, whose URI is the path at the kubelet, on to it.
    pub(crate) async fn send(
        &self,
        scope: &Scope,
        kubelet: &Kubelet,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let tls = Some((Arc::clone(&self.tls), None));
        let backend = Backend { host: kubelet.host.clone(), port: kubelet.port, tls };
        relay::set(request.headers_mut(), "host", backend.authority());
        backend
            .relay(request, scope)
            .await
            .map_err(|error| ApiError::internal(format!("error dialing backend: node {}: {error}", kubelet.node)))
    }

    /// What a kubelet answers to a question of this server's own.
    pub(crate) async fn ask(
        &self,
        kubelet: &Kubelet,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, relay::RelayError> {
        let tls = Some((Arc::clone(&self.tls), None));
        let backend = Backend { host: kubelet.host.clone(), port: kubelet.port, tls };
        relay::set(request.headers_mut(), "host", backend.authority());
        backend.ask(request).await
    }
}

fn kubelet(call: &Call, pod: &Value) -> Result<Kubelet, ApiError> {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let name = crate::object::text(pod, "name");
    if node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    kubelet_of(&call.core, node)
}

/// Where the kubelet of `node` is.
pub(crate) fn kubelet_of(core: &Core, node: &str) -> Result<Kubelet, ApiError> {
    let found = core.memory().get(&Key::new("core/nodes", "", node));
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
    // As simulated nodes say it: there is nobody to ask.
    if port == 0 {
        return Err(ApiError::internal(format!("node {node} has no kubelet that listens")));
    }
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
