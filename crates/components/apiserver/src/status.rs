//! One table from what went wrong to the `Status` that clients get: code, reason, message and details.
//!
//! The messages are API: kubectl prints them and clients match on them (apimachinery, `api/errors`).

use std::borrow::Cow;

use http::StatusCode;
use minato_kinds::FieldError;
use serde_json::{Map, Value, json};

/// Why a request is refused, in Kubernetes' terms.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status code.
    pub code: StatusCode,
    /// The machine-readable reason, such as `NotFound`; empty where Kubernetes gives none.
    pub reason: Cow<'static, str>,
    /// What a person reads.
    pub message: String,
    details: Option<Box<Map<String, Value>>>,
    /// How a list can go on all the same.
    next: Option<Box<str>>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// The resource that an error is about, as `Status.details` names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource (`pods`) or, for invalid objects, the kind (`Pod`).
    pub resource: &'a str,
    /// The object's name.
    pub name: &'a str,
}

impl Subject<'_> {
    /// `pods` or `deployments.apps`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.to_owned() } else { format!("{}.{}", self.resource, self.group) }
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        for (key, value) in [("name", self.name), ("group", self.group), ("kind", self.resource)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), value.into());
            }
        }
        details
    }
}

impl ApiError {
    fn plain(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason: Cow::Borrowed(reason), message: message.into(), details: None, next: None }
    }

    fn about(code: StatusCode, reason: &'static str, subject: &Subject<'_>, message: String) -> Self {
        let details = Some(Box::new(subject.details()));
        Self { code, reason: Cow::Borrowed(reason), message, details, next: None }
    }

    /// Adds one cause to the details.
    fn with_cause(mut self, reason: &str, message: &str, field: Option<&str>) -> Self {
        let mut cause =
            Map::from_iter([("reason".to_owned(), Value::from(reason)), ("message".to_owned(), Value::from(message))]);
        if let Some(field) = field {
            cause.insert("field".to_owned(), field.into());
        }
        let details = self.details.get_or_insert_default();
        if let Value::Array(causes) = details.entry("causes").or_insert_with(|| Value::Array(Vec::new())) {
            causes.push(Value::Object(cause));
        }
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().insert("retryAfterSeconds".to_owned(), seconds.into());
        self
    }

    /// Seconds that the client should wait, for the `Retry-After` header.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// The path leads nowhere.
    pub(crate) fn no_route() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_found(subject: &Subject<'_>) -> Self {
        let message = format!("{} \"{}\" not found", subject.qualified(), subject.name);
        Self::about(StatusCode::NOT_FOUND, "NotFound", subject, message)
    }

    pub(crate) fn already_exists(subject: &Subject<'_>) -> Self {
        let message = format!("{} \"{}\" already exists", subject.qualified(), subject.name);
        Self::about(StatusCode::CONFLICT, "AlreadyExists", subject, message)
    }

    pub(crate) fn conflict(subject: &Subject<'_>, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{}\": {why}", subject.qualified(), subject.name);
        Self::about(StatusCode::CONFLICT, "Conflict", subject, message)
    }

    /// A configuration would change fields that others own.
    pub(crate) fn apply_conflict(message: String, causes: impl Iterator<Item = (String, String)>) -> Self {
        causes.fold(Self::plain(StatusCode::CONFLICT, "Conflict", message), |error, (field, message)| {
            error.with_cause("FieldManagerConflict", &message, Some(&field))
        })
    }

    /// A failure for which Kubernetes has no reason.
    pub(crate) fn unexplained(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// Another write came between reading and writing.
    pub(crate) fn modified(subject: &Subject<'_>) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(subject, why)
    }

    pub(crate) fn forbidden(subject: &Subject<'_>, why: &str) -> Self {
        let message = if subject.name.is_empty() {
            format!("{} is forbidden: {why}", subject.qualified())
        } else {
            format!("{} \"{}\" is forbidden: {why}", subject.qualified(), subject.name)
        };
        Self::about(StatusCode::FORBIDDEN, "Forbidden", subject, message)
    }

    /// A webhook's refusal, with its own code, reason and details; a code that is no error becomes 400.
    pub(crate) fn denied(code: u16, reason: &str, message: String, details: Option<&Map<String, Value>>) -> Self {
        let code = StatusCode::from_u16(code).ok().filter(|code| code.as_u16() >= 400);
        let code = code.unwrap_or(StatusCode::BAD_REQUEST);
        let details = details.map(|details| Box::new(details.clone()));
        Self { code, reason: Cow::Owned(reason.to_owned()), message, details, next: None }
    }

    /// A policy's refusal; the reason decides the code.
    pub(crate) fn policy(subject: &Subject<'_>, reason: &str, why: &str) -> Self {
        let mut error = Self::forbidden(subject, why).with_cause("", why, None);
        let (code, reason) = match reason {
            "Forbidden" => (StatusCode::FORBIDDEN, "Forbidden"),
            "Unauthorized" => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            "RequestEntityTooLarge" => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
        };
        error.code = code;
        error.reason = Cow::Borrowed(reason);
        error
    }

    /// The client is to come again, less often.
    pub(crate) fn too_many_requests(message: &str) -> Self {
        Self::plain(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// A path that is not a resource is refused.
    pub(crate) fn forbidden_path(why: &str) -> Self {
        Self::plain(StatusCode::FORBIDDEN, "Forbidden", format!("forbidden: {why}"))
    }

    pub(crate) fn namespace_terminating(subject: &Subject<'_>, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let message = format!("namespace {namespace} is being terminated");
        Self::forbidden(subject, &why).with_cause("NamespaceTerminating", &message, Some("metadata.namespace"))
    }

    /// `subject.resource` is the kind here, as upstream's messages have it.
    pub(crate) fn invalid(subject: &Subject<'_>, errors: &[FieldError]) -> Self {
        let listed: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let joined = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {joined}", subject.qualified(), subject.name);
        let error = Self::about(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", subject, message);
        errors
            .iter()
            .fold(error, |error, field| error.with_cause(field.reason(), &field.body(), Some(&field.path.to_string())))
    }

    /// A patch that parses but cannot be applied to the object.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// The resource exists, but does not do that now.
    pub(crate) fn not_supported(subject: &Subject<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {:?}", subject.qualified());
        Self::about(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", subject, message)
    }

    pub(crate) fn not_acceptable(offered: &str) -> Self {
        let message = format!("only the following media types are accepted: {offered}");
        Self::plain(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_media_type(found: &str, offered: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {offered} (found {found:?})"
        );
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::too_much(format!("Request entity too large: limit is {limit_bytes}"))
    }

    /// A body that is read, but asks for too much.
    pub(crate) fn too_much(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// The request took longer than it may.
    pub(crate) fn timeout(message: &str) -> Self {
        Self::plain(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {message}"))
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::GONE, "Expired", message)
    }

    /// Gives a token by which the list that failed can go on.
    pub(crate) fn with_continue(mut self, token: String) -> Self {
        self.next = Some(token.into());
        self
    }

    pub(crate) fn too_large_resource_version(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::plain(StatusCode::GATEWAY_TIMEOUT, "Timeout", message.clone())
            .with_cause("ResourceVersionTooLarge", &message, None)
            .retry_after(1)
    }

    /// An eviction that a disruption budget does not allow now.
    pub(crate) fn disruption_budget(message: &str) -> Self {
        Self::plain(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .with_cause("DisruptionBudget", message, None)
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {message}"))
            .with_cause("", &message.to_string(), None)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// The disk is full: reads go on, writes are refused until there is room.
    pub(crate) fn insufficient_storage() -> Self {
        Self::plain(
            StatusCode::INSUFFICIENT_STORAGE,
            "InternalError",
            "the disk of the data directory is full; nothing was written. Free some space and try again",
        )
    }

    /// The `Status` object of this error.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "code": self.code.as_u16(),
        });
        if let Value::Object(fields) = &mut status {
            if !self.reason.is_empty() {
                fields.insert("reason".to_owned(), (&*self.reason).into());
            }
            if let Some(next) = &self.next {
                fields.insert("metadata".to_owned(), json!({"continue": next}));
            }
            if let Some(details) = &self.details {
                fields.insert("details".to_owned(), Value::Object((**details).clone()));
            }
        }
        status
    }
}

/// The `Status` that answers a deletion.
pub(crate) fn deleted(subject: &Subject<'_>, uid: &str) -> Value {
    let mut details = subject.details();
    details.insert("uid".to_owned(), uid.into());
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
