//! `proxy` of pods, services and nodes: HTTP, and protocols that begin as HTTP, to what runs in the cluster.
//!
//! The object's name in the URL may carry a scheme and a port: `https:web:8443`, `web:metrics`. The path below `proxy` and
//! the query go on as they are; where an answer points back at the other server (`Location`, links in HTML), it is
//! rewritten to point below `proxy`.

mod html;
mod rewrite;
mod target;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use minato_http::Peer;
use rustls::ClientConfig;

use crate::body::{RequestBody, ResponseBody};
use crate::call::Call;
use crate::relay::{self, Backend};
use crate::status::ApiError;
use rewrite::Rewrite;
use target::Target;

/// What of an answer says who may read it in a browser: it is the API server's to say.
const CORS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Connects to what runs in the cluster; certificates of pods are not verified, as upstream's are not.
pub(crate) struct Proxy {
    tls: Arc<ClientConfig>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        Self { tls: Arc::new(minato_pki::unverified_client_config()) }
    }

    /// Hands the request on to the pod, service or node that the route names.
    pub(crate) async fn connect(
        &self,
        call: &Call,
        name: &str,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let target = target::locate(call, name)?;
        let path = request.uri().path().to_owned();
        let (prefix, mut below) = split(&path, call.route.namespace.is_some());
        if below.is_empty() && !relay::is_upgrade(request.headers()) {
            if matches!(*request.method(), Method::GET | Method::HEAD) {
                return Ok(to_root(request.uri()));
            }
            below = "/";
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let below = if below.is_empty() { "/" } else { below };
        let uri: Uri =
            format!("{below}{query}").parse().map_err(|_| ApiError::bad_request("the path is not a valid URI"))?;
        let peer = request.extensions().get::<Peer>().cloned();
        relay::append_forwarded_for(request.headers_mut(), peer.as_ref());
        relay::set(request.headers_mut(), "x-forwarded-uri", format!("{prefix}{below}"));
        let asked_host = host(&request);
        *request.uri_mut() = uri;
        let scope = &call.core.scope;
        match target {
            Target::Kubelet(kubelet) => call.core.tunnel.send(scope, &kubelet, request).await,
            Target::Address { host, port, encrypted } => {
                let tls = encrypted.then(|| (Arc::clone(&self.tls), None));
                let backend = Backend { host, port, tls };
                let authority = backend.authority();
                relay::set(request.headers_mut(), "host", &authority);
                let response = backend
                    .relay(request, scope)
                    .await
                    .map_err(|error| ApiError::unavailable(format!("error trying to reach service: {error}")))?;
                let rewrite = Rewrite { prefix: prefix.to_owned(), backend: authority, asked: asked_host };
                Ok(adapt(response, rewrite))
            }
        }
    }
}

/// The URL's path up to and with `proxy`, and the rest.
fn split(path: &str, namespaced: bool) -> (&str, &str) {
    // /api/v1/nodes/NAME/proxy or /api/v1/namespaces/NS/pods/NAME/proxy
    let segments = if namespaced { 7 } else { 5 };
    let leading = path.len() - path.trim_start_matches('/').len();
    let ends = path[leading..].match_indices('/').nth(segments - 1).map_or(path.len(), |(index, _)| index + leading);
    path.split_at(ends)
}

/// The host that the client believes to speak to.
fn host(request: &Request<RequestBody>) -> String {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    request.uri().authority().map(|authority| authority.as_str()).or(header).unwrap_or_default().to_owned()
}

/// Relative links of a page need a path that ends in a slash (kubernetes/kubernetes#4958).
fn to_root(uri: &Uri) -> Response<ResponseBody> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(ResponseBody::Whole(None));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    relay::set(response.headers_mut(), "location", format!("{}/{query}", uri.path()));
    response
}

/// Makes an answer fit for a client that sees the other server below a path of this one.
fn adapt(mut response: Response<ResponseBody>, rewrite: Rewrite) -> Response<ResponseBody> {
    for name in &CORS {
        response.headers_mut().remove(name);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    if let Some(location) = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()) {
        let rewritten = rewrite.url(location);
        relay::set(response.headers_mut(), "location", rewritten);
        return response;
    }
    if !is_html(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    match parts.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, html::rewritten(body, rewrite))
        }
        // Pages in a compressed form are sent as they are: their links may lead astray.
        Some(_) => Response::from_parts(parts, body),
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim() == "text/html"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_behind_proxy() {
        for (path, namespaced, below) in [
            ("/api/v1/namespaces/a/pods/x/proxy", true, ""),
            ("/api/v1/namespaces/a/pods/x/proxy/", true, "/"),
            ("/api/v1/namespaces/a/pods/https%3Ax%3A1/proxy/a%2Fb//c/", true, "/a%2Fb//c/"),
            ("/api/v1/nodes/x:10250/proxy/pods", false, "/pods"),
        ] {
            assert_eq!(split(path, namespaced).1, below, "{path}");
        }
    }
}
