//! The HTTPS server through which the API server reaches into pods.
//!
//! | path | what |
//! |---|---|
//! | `GET /containerLogs/{ns}/{pod}/{container}` | logs, optionally followed; also in the messages of a WebSocket |
//! | `/exec/{ns}/{pod}/{container}`, `/attach/…` | a process's streams over WebSocket or SPDY/3.1 |
//! | `/portForward/{ns}/{pod}` | connections into the pod over WebSocket or SPDY/3.1 |
//! | `GET /pods`, `GET /healthz` | what runs here; whether we do |
//!
//! Only the API server's own client certificate is let in.

mod logs;
mod messages;
mod port_forward;
mod query;
mod reply;
mod spdy;
mod streams;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use minato_http::Peer;
use minato_scope::Scope;
use tokio::net::TcpListener;

use crate::node::Node;
use crate::pods::Pods;
use query::Query;
use reply::{Body, Refusal};

/// What request handlers need.
#[derive(Clone)]
struct Server {
    node: Arc<Node>,
    pods: Arc<Pods>,
    scope: Scope,
}

/// Serves until the scope ends.
pub(crate) async fn run(listener: TcpListener, node: Arc<Node>, pods: Arc<Pods>, scope: Scope) {
    let tls = Arc::clone(&node.config.tls);
    let server = Server { node, pods, scope: scope.clone() };
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let server = server.clone();
        async move {
            let response = server.answer(request).await.unwrap_or_else(Refusal::into_response);
            Ok::<Response<Body>, Infallible>(response)
        }
    });
    minato_http::serve(listener, tls, service, minato_http::Limits::default(), scope).await;
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        self.admit(&request)?;
        let path = request.uri().path().to_owned();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let get = request.method() == Method::GET;
        let stream = get || request.method() == Method::POST;
        match parts.as_slice() {
            ["healthz"] if get => Ok(reply::text("ok")),
            ["pods"] if get => Ok(self.list()),
            ["containerLogs", namespace, pod, container] if get => {
                let logs = self.logs(namespace, pod, container, &query).await?;
                if websocket::is_wanted(&request) { self.send_in_messages(logs, request) } else { Ok(logs) }
            }
            ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] if stream => {
                self.exec(namespace, pod, container, &query, request).await
            }
            ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] if stream => {
                self.attach(namespace, pod, container, &query, request).await
            }
            ["portForward", namespace, pod] | ["portForward", namespace, pod, _] if stream => {
                self.port_forward(namespace, pod, &query, request).await
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found")),
        }
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let peer = request.extensions().get::<Peer>();
        let Some(identity) = peer.and_then(|peer| peer.chain.identity()) else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
        };
        let identity =
            identity.map_err(|error| Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", error.to_string()))?;
        if identity.user != self.node.config.api_server_user {
            let message = format!("user {:?} may not use the kubelet", identity.user);
            return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        Ok(())
    }

    fn list(&self) -> Response<Body> {
        let pods: Vec<_> = self.pods.pictures().into_iter().map(|picture| picture.pod).collect();
        let pods: Vec<&k8s_openapi::api::core::v1::Pod> = pods.iter().map(|pod| &**pod).collect();
        reply::json(
            StatusCode::OK,
            &serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}),
        )
    }
}
