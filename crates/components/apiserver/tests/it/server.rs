//! One API server, and requests of its users.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use minato_apiserver::{ApiServer, Config, User, UserInfo};
use minato_pki::{Authority, SigningKey};
use minato_scope::Scope;
use minato_store::Backend;
use minato_store::embedded::{self, Options};
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) struct Server {
    pub(crate) api: ApiServer,
    directory: tempfile::TempDir,
    store: Arc<dyn Backend>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    pub(crate) async fn start_with(config: Config) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    async fn start_in(directory: tempfile::TempDir, config: Config) -> Self {
        let config = Config { advertise_address: std::net::Ipv4Addr::new(192, 0, 2, 1), ..config };
        let authority = Authority::load_or_create(&directory.path().join("pki"), "test").unwrap();
        let signer = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        let options = Options::new(minato_apiserver::attributes_of);
        let store: Arc<dyn Backend> = Arc::new(embedded::open(&directory.path().join("store"), options).unwrap());
        let tls = minato_pki::client_config(authority.certificate_pem(), None, &["http/1.1"]).unwrap();
        let api = ApiServer::build(&config, Arc::clone(&store), Arc::new(signer), Arc::new(tls), Scope::root("test"))
            .unwrap();
        api.bootstrap().await.unwrap();
        Self { api, directory, store }
    }

    /// Why a server does not start by `config`.
    pub(crate) fn fails(config: Config) -> String {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(&directory.path().join("pki"), "test").unwrap();
        let signer = SigningKey::load_or_create(&directory.path().join("sa.key")).unwrap();
        let options = Options::new(minato_apiserver::attributes_of);
        let store: Arc<dyn Backend> = Arc::new(embedded::open(&directory.path().join("store"), options).unwrap());
        let tls = minato_pki::client_config(authority.certificate_pem(), None, &["http/1.1"]).unwrap();
        let built = ApiServer::build(&config, store, Arc::new(signer), Arc::new(tls), Scope::root("test"));
        let error = built.err().expect("the server starts");
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// The same cluster, started again.
    pub(crate) async fn restart(self) -> Self {
        let Self { api, directory, store } = self;
        drop(api);
        store.close().await;
        drop(store);
        Self::start_in(directory, Config::default()).await
    }

    /// The key that signs service-account tokens.
    pub(crate) fn signer(&self) -> SigningKey {
        SigningKey::load_or_create(&self.directory.path().join("sa.key")).unwrap()
    }

    /// Somebody who may do everything.
    pub(crate) fn admin(&self) -> Client {
        self.user("admin", &["system:masters"])
    }

    pub(crate) fn user(&self, name: &str, groups: &[&str]) -> Client {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let info = UserInfo { name: name.to_owned(), groups, ..UserInfo::default() };
        Client { api: self.api.clone(), user: Some(User::authenticated(info)), headers: Vec::new() }
    }

    /// Requests as they come over the network, with these headers.
    pub(crate) fn remote(&self, headers: &[(&str, &str)]) -> Client {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Client { api: self.api.clone(), user: None, headers }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    api: ApiServer,
    user: Option<User>,
    headers: Vec<(String, String)>,
}

impl Client {
    /// The same client with one more header; `content-type` is JSON otherwise.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let (code, answer, _) = self.send_for_warnings(method, path, body).await;
        (code, answer)
    }

    /// The answer and the texts of its `Warning` headers.
    pub(crate) async fn send_for_warnings(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value, Vec<String>) {
        self.send_text(method, path, body.map(Value::to_string).unwrap_or_default()).await
    }

    /// As [`Client::send_for_warnings`], with a body that need not be JSON.
    pub(crate) async fn send_text(&self, method: Method, path: &str, body: String) -> (StatusCode, Value, Vec<String>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        let request = if typed { request } else { request.header("content-type", "application/json") };
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let service = match &self.user {
            Some(user) => self.api.service_as(user.clone()),
            None => self.api.service(),
        };
        let response = service.oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        let warnings = head.headers.get_all("warning").iter().filter_map(|value| value.to_str().ok());
        let warnings = warnings.map(|value| {
            value.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"')).unwrap_or(value).to_owned()
        });
        (head.status, value, warnings.collect())
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// The object that was created.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> Value {
        let (code, answer) = self.post(path, body).await;
        assert_eq!(code, StatusCode::CREATED, "{path}: {answer}");
        answer
    }
}
