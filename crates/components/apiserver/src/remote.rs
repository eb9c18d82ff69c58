//! A server that this one sends requests to, as a kubeconfig file names it: webhooks of the audit log, of authentication
//! and authorisation.

mod kubeconfig;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use minato_http::BoxError;
use rustls::ClientConfig;

use crate::body::{RequestBody, ResponseBody};
use crate::relay::{Backend, RelayError};

pub use kubeconfig::KubeconfigError;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Where to send requests, and as whom.
pub(crate) struct Remote {
    backend: Backend,
    /// The path and query of the server's URL.
    path: String,
    authorization: Option<HeaderValue>,
}

/// A request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("{url} cannot be a URL: {reason}")]
    Url { url: String, reason: String },
    #[error("no answer from {authority}: {source}")]
    Relay { authority: String, source: RelayError },
    #[error("the answer of {authority} cannot be read: {reason}")]
    Answer { authority: String, reason: String },
    #[error("no answer from {authority} within {limit:?}")]
    Timeout { authority: String, limit: Duration },
}

impl Remote {
    /// The server of the current context in the kubeconfig file at `path`.
    pub(crate) fn from_kubeconfig(path: &Path) -> Result<Self, KubeconfigError> {
        kubeconfig::read(path)
    }

    /// The server at `url`; `tls` for `https`.
    pub(crate) fn new(
        url: &str,
        tls: Option<Arc<ClientConfig>>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, RemoteError> {
        let malformed = |reason: &str| RemoteError::Url { url: url.to_owned(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|_| malformed("it does not parse"))?;
        let host = uri.host().ok_or_else(|| malformed("it has no host"))?;
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => (443, tls.map(|tls| (tls, None))),
            _ => return Err(malformed("it must begin with https:// or http://")),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let backend = Backend { host, port: uri.port_u16().unwrap_or(port), tls };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Ok(Self { backend, path, authorization })
    }

    /// Sends `json` by POST and gives back the code and the body of the answer, which must come within `limit`.
    pub(crate) async fn post(&self, json: Bytes, limit: Duration) -> Result<(StatusCode, Bytes), RemoteError> {
        let authority = self.backend.authority();
        match tokio::time::timeout(limit, self.exchange(json)).await {
            Ok(answer) => answer,
            Err(_) => Err(RemoteError::Timeout { authority, limit }),
        }
    }

    async fn exchange(&self, json: Bytes) -> Result<(StatusCode, Bytes), RemoteError> {
        let authority = self.backend.authority();
        let body: RequestBody = Full::new(json).map_err(|never| -> BoxError { match never {} }).boxed_unsync();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self
            .path
            .parse()
            .map_err(|_| RemoteError::Url { url: self.path.clone(), reason: "its path does not parse".to_owned() })?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(host) = HeaderValue::from_str(&authority) {
            headers.insert(header::HOST, host);
        }
        let send = self.backend.send_as(request, self.authorization.clone());
        let response: Response<ResponseBody> =
            send.await.map_err(|source| RemoteError::Relay { authority: authority.clone(), source })?;
        let code = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| RemoteError::Answer { authority, reason: error.to_string() })?;
        Ok((code, body.to_bytes()))
    }
}
