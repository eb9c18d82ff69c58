//! `guestbook web`: the page. Reads go to the replicas, writes to the leader.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serving::{Body, Query, Stopping, html, json, redirect, text};

use crate::client::{AskError, Client};
use crate::message::{Draft, Excerpt, Message};
use crate::page;

const FORM_BYTES_MAX: usize = 32 * 1024;
const SHOWN: usize = 100;
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// A question that fails is asked again: a Service may send it to another pod.
const ATTEMPTS: usize = 3;

/// What the page needs; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Web(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    leader: String,
    replicas: String,
    client: Client,
    stopping: Stopping,
}

impl Web {
    /// Without replicas the leader answers everything.
    pub(crate) fn new(leader: String, replicas: String, stopping: Stopping) -> Self {
        let replicas = if replicas.is_empty() { leader.clone() } else { replicas };
        Self(Arc::new(Shared { leader, replicas, client: Client::new(), stopping }))
    }

    pub(crate) async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let shared = &self.0;
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") if !shared.stopping.is_set() => text(StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            (&Method::GET, "/") => shared.page(&Query::of(request.uri())).await,
            (&Method::GET, "/messages") => match shared.read(0).await {
                Ok(excerpt) => json(StatusCode::OK, &excerpt),
                Err(error) => text(StatusCode::BAD_GATEWAY, &error.to_string()),
            },
            (&Method::POST, "/") => shared.add(request).await,
            (_, "/" | "/messages" | "/healthz" | "/readyz") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
            }
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }
}

impl Shared {
    async fn page(&self, query: &Query<'_>) -> Response<Body> {
        match self.read(query.get_or("seen", 0)).await {
            Ok(excerpt) => html(StatusCode::OK, page::book(&excerpt.messages)),
            Err(error) => self.unavailable(&error),
        }
    }

    /// The newest messages, with number `seen` among them if a replica has it soon.
    async fn read(&self, seen: u64) -> Result<Excerpt, AskError> {
        let url = format!("{}/messages?limit={SHOWN}&at-least={seen}", self.replicas);
        for _ in 1..ATTEMPTS {
            if let Ok(excerpt) = self.client.get(&url, ASK_WITHIN).await {
                return Ok(excerpt);
            }
        }
        self.client.get(&url, ASK_WITHIN).await
    }

    async fn add(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(body) = Limited::new(request.into_body(), FORM_BYTES_MAX).collect().await else {
            return html(StatusCode::PAYLOAD_TOO_LARGE, page::trouble("That was too long."));
        };
        let body = body.to_bytes();
        let form = Query::of_form(&body);
        let field = |name: &str| form.get(name).unwrap_or_default().into_owned();
        let draft = match (Draft { author: field("author"), text: field("text") }).checked() {
            Ok(draft) => draft,
            Err(error) => return html(StatusCode::UNPROCESSABLE_ENTITY, page::trouble(&error.to_string())),
        };
        // Not asked twice: the leader may have written it although its answer was lost.
        match self.client.post::<Message>(&format!("{}/messages", self.leader), &draft, ASK_WITHIN).await {
            Ok(message) => redirect(&format!("/?seen={}", message.number)),
            Err(error) => self.unavailable(&error),
        }
    }

    fn unavailable(&self, error: &AskError) -> Response<Body> {
        eprintln!("store: {error}");
        html(StatusCode::BAD_GATEWAY, page::trouble("The store does not answer. Please try again in a moment."))
    }
}
