//! The HTTPS server through which the API server reaches into pods.
//!
//! | path | what |
//! |---|---|
//! | `GET /containerLogs/{ns}/{pod}/{container}` | logs, optionally followed; also in the messages of a WebSocket |
//! | `/exec/{ns}/{pod}/{container}`, `/attach/…` | a process's streams over WebSocket or SPDY/3.1 |
//! | `/portForward/{ns}/{pod}` | connections into the pod over WebSocket or SPDY/3.1 |
//! | `GET /pods`, `GET /runningpods/`, `GET /healthz` | what is to run here, what runs; whether we do |
//! | `GET /stats/summary`, `GET /metrics…` | what node and pods use; see [`metrics`] |
//! | `GET /configz`, `GET /logs/…` | how this kubelet is set up; the host's `/var/log` |
//!
//! Who is let in, see [`access`].

mod access;
mod configz;
mod host_logs;
mod logs;
mod messages;
mod metrics;
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
use crate::stats::{Detail, Stats, Summary, running};
use access::Gate;
use query::Query;
use reply::{Body, Refusal};

/// What request handlers need.
#[derive(Clone)]
struct Server {
    node: Arc<Node>,
    pods: Arc<Pods>,
    stats: Arc<Stats>,
    gate: Arc<Gate>,
    scope: Scope,
}

/// Serves until the scope ends.
pub(crate) async fn run(listener: TcpListener, node: Arc<Node>, pods: Arc<Pods>, scope: Scope) {
    let tls = Arc::clone(&node.config.tls);
    let stats = Arc::new(Stats::new(Arc::clone(&node), Arc::clone(&pods)));
    let config = &node.config;
    let gate = Gate::new(node.client.clone(), config.node_name.clone(), config.api_server_user.clone());
    let server = Server { stats, gate: Arc::new(gate), node, pods, scope: scope.clone() };
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
        let path = request.uri().path().to_owned();
        let peer = request.extensions().get::<Peer>();
        self.gate.admit(peer, request.method(), &path, request.headers()).await?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let get = request.method() == Method::GET;
        let stream = get || request.method() == Method::POST;
        match parts.as_slice() {
            ["healthz"] if get => Ok(reply::text("ok")),
            ["healthz", "ping" | "log" | "syncloop"] if get => Ok(reply::text("ok")),
            ["pods"] if get => Ok(self.list(false)),
            ["runningpods"] if get => Ok(self.list(true)),
            ["stats", "summary"] if stream => self.summary(query.flag(&["only_cpu_and_memory"])).await,
            ["metrics"] if get => self.metrics(None).await,
            ["metrics", below @ ("resource" | "cadvisor" | "probes")] if get => self.metrics(Some(below)).await,
            ["configz"] if get => {
                Ok(reply::json(StatusCode::OK, &configz::document(&self.node.config, self.node.port)))
            }
            ["logs", ..] if get => self.host_logs(path.trim_start_matches("/logs")).await,
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

    /// What node and pods use now.
    async fn summary(&self, only_cpu_and_memory: bool) -> Result<Response<Body>, Refusal> {
        let internal = |error: minato_runtime::RuntimeError| Refusal::internal(error.to_string());
        let rated = self.stats.rated().await.map_err(internal)?;
        let summary = if only_cpu_and_memory {
            Summary::new(&self.node, &rated, &Detail::CpuAndMemory)
        } else {
            let disk = self.stats.disk().await.map_err(internal)?;
            Summary::new(&self.node, &rated, &Detail::Everything(&disk))
        };
        let value = serde_json::to_value(&summary).map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(reply::json(StatusCode::OK, &value))
    }

    /// The pods of this node, or those with a running container.
    fn list(&self, only_running: bool) -> Response<Body> {
        let mut pictures = self.pods.pictures();
        pictures.retain(|picture| !only_running || running(picture).next().is_some());
        let pods: Vec<_> = pictures.into_iter().map(|picture| picture.pod).collect();
        let pods: Vec<&k8s_openapi::api::core::v1::Pod> = pods.iter().map(|pod| &**pod).collect();
        reply::json(
            StatusCode::OK,
            &serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}),
        )
    }
}
