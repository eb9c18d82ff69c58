//! The audit log: who did what, as the policy of the cluster wants it told (audit.k8s.io/v1).
//!
//! Without a policy and a place to write to there is no [`Audit`], and a request pays nothing. With one, a request that
//! the policy selects has a [`Record`] from the moment its user is known until its answer is sent.

mod event;
mod file;
mod policy;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use minato_http::Peer;
use minato_mvcc::Memory;
use minato_scope::Scope;
use prometheus::{IntCounter, IntCounterVec};
use serde_json::{Value, json};

pub use file::{FileFormat, FileOptions};
pub use policy::PolicyError;
pub use webhook::BatchOptions;

use crate::body::RequestBody;
use crate::decode;
use crate::identity::User;
use crate::kubeconfig::{self, KubeconfigError};
use crate::metrics::Metrics;
use crate::negotiate;
use crate::route::{ResourceRoute, Route};
use event::{Event, ObjectReference, UserValue};
use policy::{Level, Policy, Selected, Stage};

/// Where the policy is and where events go.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// `--audit-policy-file`.
    pub policy_file: Option<PathBuf>,
    /// `--audit-log-path` and how the file is rotated.
    pub file: Option<FileOptions>,
    /// `--audit-webhook-config-file`, a kubeconfig.
    pub webhook_config_file: Option<PathBuf>,
    /// How events are put together for the webhook.
    pub webhook_batches: BatchOptions,
}

/// The audit log cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy.
    #[error("audit-policy-file")]
    Policy(#[from] PolicyError),
    /// The file.
    #[error("audit-log-path: {}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The webhook.
    #[error("audit-webhook-config-file")]
    Webhook(#[from] KubeconfigError),
}

/// The log of one API server.
pub(crate) struct Audit {
    policy: Policy,
    file: Option<file::Log>,
    webhook: Option<webhook::Batches>,
    events: IntCounter,
    levels: IntCounterVec,
    errors: IntCounterVec,
}

impl Audit {
    /// Reads the policy and opens what events are written to; nothing where the options ask for no log.
    pub(crate) fn open(
        options: &AuditOptions,
        metrics: &Metrics,
        memory: &Memory,
        scope: &Scope,
    ) -> Result<Option<Arc<Self>>, AuditError> {
        let Some(policy) = &options.policy_file else { return Ok(None) };
        if options.file.is_none() && options.webhook_config_file.is_none() {
            return Ok(None);
        }
        let policy = Policy::read(policy)?;
        let errors = metrics.audit_errors.clone();
        let file = match &options.file {
            Some(file) => Some(
                file::Log::open(file.clone(), errors.with_label_values(&["log"]))
                    .map_err(|source| AuditError::File { path: file.path.clone(), source })?,
            ),
            None => None,
        };
        let webhook = match &options.webhook_config_file {
            Some(path) => {
                let endpoint = kubeconfig::endpoint(path)?;
                let errors = errors.with_label_values(&["webhook"]);
                Some(webhook::Batches::start((endpoint, memory.clone()), options.webhook_batches, errors, scope))
            }
            None => None,
        };
        let (events, levels) = (metrics.audit_events.clone(), metrics.audit_levels.clone());
        Ok(Some(Arc::new(Self { policy, file, webhook, events, levels, errors })))
    }

    /// Writes out what was told so far. The webhook's last batch is sent by its task when the server's scope ends.
    pub(crate) async fn flush(self: Arc<Self>) {
        let _ = tokio::task::spawn_blocking(move || self.file.as_ref().map(file::Log::flush)).await;
    }

    fn tell(&self, event: &Event) {
        self.events.inc();
        let line = match serde_json::to_vec(event) {
            Ok(line) => Bytes::from(line),
            Err(error) => {
                tracing::error!(%error, "an audit event cannot be written as JSON");
                self.errors.with_label_values(&["encode"]).inc();
                return;
            }
        };
        if let Some(file) = &self.file {
            file.write(match file.format() {
                FileFormat::Json => line.clone(),
                FileFormat::Legacy => Bytes::from(event.legacy()),
            });
        }
        if let Some(webhook) = &self.webhook {
            webhook.send(line);
        }
    }
}

/// What a request is, for the log.
pub(crate) struct Subject<'a> {
    pub(crate) route: &'a Route,
    /// Of a resource: `get`; of a path: the method in lower case.
    pub(crate) verb: &'a str,
    /// Empty for anything but resources in namespaces, and namespaces themselves.
    pub(crate) namespace: &'a str,
    /// Absent where nobody could be authenticated.
    pub(crate) user: Option<&'a User>,
}

/// What is told of one request.
pub(crate) struct Record {
    audit: Arc<Audit>,
    selected: Selected,
    event: Event,
    /// A watch or a connection, which has a stage of its own when it begins.
    long_running: bool,
    done: bool,
}

impl Record {
    /// A record of `request`, where the policy selects it; tells of the first stage.
    pub(crate) fn begin(
        audit: &Arc<Audit>,
        id: &str,
        request: &Request<RequestBody>,
        subject: &Subject<'_>,
    ) -> Option<Self> {
        let selected = audit.policy.select(subject);
        audit.levels.with_label_values(&[selected.level.as_str()]).inc();
        if selected.level == Level::None {
            return None;
        }
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let forwarded = text("x-forwarded-for");
        let mut source_ips: Vec<String> =
            forwarded.split(',').map(str::trim).filter(|ip| !ip.is_empty()).map(str::to_owned).collect();
        source_ips.extend(request.extensions().get::<Peer>().map(|peer| peer.address.ip().to_canonical().to_string()));
        source_ips.dedup();
        let (user, impersonated_user) = match subject.user {
            Some(user) => match &user.impersonator {
                Some(by) => (UserValue::of(by), Some(UserValue::of(user))),
                None => (UserValue::of(user), None),
            },
            None => (UserValue::default(), None),
        };
        let long_running = subject.verb == "watch"
            || matches!(subject.route, Route::Resource(route)
                if matches!(route.subresource.as_deref(), Some("attach" | "exec" | "log" | "portforward" | "proxy")));
        let object_ref = match subject.route {
            Route::Path(_) => None,
            Route::Resource(route) => Some(ObjectReference::of(route, subject.namespace)),
        };
        let event = Event {
            level: selected.level,
            audit_id: id.to_owned(),
            stage: Stage::RequestReceived,
            request_uri: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            verb: subject.verb.to_owned(),
            user,
            impersonated_user,
            source_ips,
            user_agent: text("user-agent"),
            object_ref,
            request_received_timestamp: event::now(),
            ..Event::default()
        };
        let mut record = Self { audit: Arc::clone(audit), selected, event, long_running, done: false };
        record.tell(Stage::RequestReceived);
        Some(record)
    }

    /// Whether the body of the request is to be shown to [`Record::request`].
    pub(crate) fn wants_request(&self, route: &Route) -> bool {
        matches!(route, Route::Resource(route) if !is_connection(route))
            && !self.long_running
            && matches!(self.event.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// Notes the body of the request.
    pub(crate) fn request(&mut self, headers: &http::HeaderMap, body: &Bytes) {
        if body.is_empty() {
            return;
        }
        let patch = self.event.verb == "patch";
        let parsed = if patch {
            serde_json::from_slice(body).or_else(|_| serde_saphyr::from_slice(body).map_err(|_| ())).ok()
        } else {
            let format = negotiate::body_format(headers).ok();
            format.and_then(|format| decode::parse(body, format).ok()).map(|parsed| parsed.value)
        };
        let Some(mut object) = parsed else { return };
        if let (Some(reference), false) = (&mut self.event.object_ref, patch) {
            reference.fill(&object);
        }
        if self.selected.level >= Level::Request {
            self.selected.trim(&mut object);
            self.event.request_object = Some(object);
        }
    }

    /// Whether the body of the answer is to be shown to [`Record::answer`].
    pub(crate) fn wants_answer(&self, code: StatusCode) -> bool {
        !self.long_running
            && (self.selected.level >= Level::RequestResponse || code.is_client_error() || code.is_server_error())
    }

    /// Notes the body of the answer.
    pub(crate) fn answer(&mut self, code: StatusCode, body: &[u8]) {
        let object = serde_json::from_slice::<Value>(body).ok().or_else(|| minato_protobuf::decode(body).ok());
        let Some(mut object) = object else { return };
        if (code.is_client_error() || code.is_server_error()) && object["kind"] == "Status" {
            let mut status = object.clone();
            if let Value::Object(fields) = &mut status {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            self.event.response_status = Some(status);
        }
        if self.selected.level >= Level::RequestResponse && self.event.object_ref.is_some() {
            self.selected.trim(&mut object);
            self.event.response_object = Some(object);
        }
    }

    /// Adds an annotation; the first of a name counts.
    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.event.annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Tells that the head of an answer that lasts was sent.
    pub(crate) fn started(&mut self, code: StatusCode) {
        if self.long_running {
            self.status(code);
            self.tell(Stage::ResponseStarted);
        }
    }

    /// Tells that the answer was sent.
    pub(crate) fn completed(&mut self, code: StatusCode) {
        if !std::mem::replace(&mut self.done, true) {
            self.status(code);
            self.tell(Stage::ResponseComplete);
        }
    }

    /// Tells that a panic ended the request.
    pub(crate) fn panicked(&mut self, message: &str) {
        self.done = true;
        self.event.response_status = Some(json!({
            "metadata": {}, "status": "Failure", "message": format!("APIServer panic'd: {message}"),
            "reason": "InternalError", "code": 500,
        }));
        self.tell(Stage::Panic);
    }

    fn status(&mut self, code: StatusCode) {
        let status = self.event.response_status.get_or_insert_with(|| json!({"metadata": {}}));
        if let Value::Object(fields) = status {
            fields.insert("code".to_owned(), code.as_u16().into());
        }
    }

    fn tell(&mut self, stage: Stage) {
        if !self.selected.omit_stages.contains(&stage) {
            self.event.stage = stage;
            self.event.stage_timestamp = if stage == Stage::RequestReceived {
                self.event.request_received_timestamp.clone()
            } else {
                event::now()
            };
            self.audit.tell(&self.event);
        }
    }
}

impl Selected {
    /// Takes away what the policy does not want told of an object or list.
    fn trim(&self, object: &mut Value) {
        if !self.omit_managed_fields {
            return;
        }
        let forget = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        forget(object);
        if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
            items.iter_mut().for_each(forget);
        }
    }
}

fn is_connection(route: &ResourceRoute) -> bool {
    matches!(route.subresource.as_deref(), Some("attach" | "exec" | "portforward" | "proxy"))
}
