//! A webhook on loopback that answers as the test says, and remembers what it was asked.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

type Answer = dyn Fn(&Value) -> String + Send + Sync;

pub(crate) struct Hook {
    /// `clientConfig` of a webhook that is this one.
    pub(crate) config: Value,
    asked: Arc<Mutex<Vec<Value>>>,
    scope: Scope,
    _directory: tempfile::TempDir,
}

impl Hook {
    /// Answers with what `response` makes of each `AdmissionRequest`: the fields of an `AdmissionResponse`.
    pub(crate) async fn start(response: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        Self::start_raw(move |review| {
            let mut response = response(&review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string()
        })
        .await
    }

    /// Answers with this text; `hang` never comes.
    pub(crate) async fn start_raw(answer: impl Fn(&Value) -> String + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "hooks").unwrap();
        let identity = authority.issue_server("hook", &[], &[Ipv4Addr::LOCALHOST.into()]).unwrap();
        let tls = Arc::new(minato_pki::server_config(&identity, authority.certificate_pem()).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bundle = STANDARD.encode(authority.certificate_pem());
        let config = json!({"url": format!("https://127.0.0.1:{port}/hook"), "caBundle": bundle});
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let scope = Scope::root("hook");
        let answer: Arc<Answer> = Arc::new(answer);
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
            async move {
                let bytes = request.into_body().collect().await.unwrap().to_bytes();
                let review: Value = serde_json::from_slice(&bytes).unwrap();
                let text = answer(&review);
                seen.lock().unwrap().push(review["request"].clone());
                if text == "hang" {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            }
        });
        let serving = scope.clone();
        scope.spawn("hook", minato_http::serve(listener, tls, service, Limits::default(), serving));
        Self { config, asked, scope, _directory: directory }
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}
