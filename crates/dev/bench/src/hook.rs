//! A mutating webhook on loopback, in this process: what a server asks on the way of a create.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use minato_http::Limits;
use minato_pki::Authority;
use minato_scope::Scope;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Labels every object that it is asked about, until it is dropped.
pub(crate) struct Hook {
    /// The `clientConfig` that leads to it.
    pub(crate) client_config: Value,
    scope: Scope,
    _directory: tempfile::TempDir,
}

impl Hook {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let authority = Authority::load_or_create(directory.path(), "minato-bench")?;
        let identity = authority.issue_server("minato-bench", &[], &[Ipv4Addr::LOCALHOST.into()])?;
        let tls = Arc::new(minato_pki::server_config(&identity, authority.certificate_pem())?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("https://127.0.0.1:{}/mutate", listener.local_addr()?.port());
        let client_config = json!({"url": url, "caBundle": STANDARD.encode(authority.certificate_pem())});
        let scope = Scope::root("hook");
        let serving = scope.clone();
        let service = tower::service_fn(answer);
        scope.spawn("hook", minato_http::serve(listener, tls, service, Limits::default(), serving));
        Ok(Self { client_config, scope, _directory: directory })
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]).to_string();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch),
        },
    });
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
