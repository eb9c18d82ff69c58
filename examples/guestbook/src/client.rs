//! Asking another guestbook process.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Makes a connection for each question, so that a Service can send each to another pod.
#[derive(Clone, Debug)]
pub(crate) struct Client(HttpClient<HttpConnector, Full<Bytes>>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{url} took too long")]
    TimedOut { url: String },
    #[error("{url}: {source}")]
    Failed { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{url} answered {status}: {text}")]
    Refused { url: String, status: StatusCode, text: String },
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        Self(HttpClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: &str, within: Duration) -> Result<T, AskError> {
        self.ask(Method::GET, url, Bytes::new(), within).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<T, AskError> {
        let body = serde_json::to_vec(body).map_err(|error| failed(url, error))?;
        self.ask(Method::POST, url, body.into(), within).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<T, AskError> {
        let request = Request::builder().method(method).uri(url).header("content-type", "application/json");
        let request = request.body(Full::new(body)).map_err(|error| failed(url, error))?;
        let answer = async {
            let response = self.0.request(request).await.map_err(|error| failed(url, error))?;
            let (status, body) = (response.status(), Limited::new(response.into_body(), ANSWER_BYTES_MAX));
            let is_empty = body.is_end_stream();
            let bytes = body.collect().await.map_err(|source| AskError::Failed { url: url.to_owned(), source })?;
            let bytes = bytes.to_bytes();
            if !status.is_success() || is_empty {
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                return Err(AskError::Refused { url: url.to_owned(), status, text });
            }
            serde_json::from_slice(&bytes).map_err(|error| failed(url, error))
        };
        let timed_out = |_| Err(AskError::TimedOut { url: url.to_owned() });
        tokio::time::timeout(within, answer).await.unwrap_or_else(timed_out)
    }
}

fn failed(url: &str, error: impl std::error::Error + Send + Sync + 'static) -> AskError {
    AskError::Failed { url: url.to_owned(), source: Box::new(error) }
}
