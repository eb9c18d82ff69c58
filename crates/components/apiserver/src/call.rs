//! One request for a resource: what it asks for, and the handler that answers.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use minato_kinds::{Subresource, Verbs};
use serde_json::Value;

use crate::admission::{Options, Remarks};
use crate::body::{self, RequestBody, ResponseBody};
use crate::core::Core;
use crate::decode::{self, FieldValidation};
use crate::encode;
use crate::filter::Filter;
use crate::identity::User;
use crate::negotiate::{self, BodyFormat, Encoding, Form};
use crate::registry::Resource;
use crate::route::{Query, ResourceRoute};
use crate::status::{self, ApiError};
use crate::write::{DeleteOptions, Deletion, Target, UpdateKind};
use crate::{list, options, patch, reviews, subresource, watch, websocket};

/// A request for a resource, authenticated and authorised.
pub(crate) struct Call {
    pub(crate) core: Arc<Core>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) route: ResourceRoute,
    /// Empty for kinds of the cluster and for requests over all namespaces.
    pub(crate) namespace: String,
    pub(crate) user: User,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) form: Form,
    pub(crate) encoding: Encoding,
    pub(crate) verb: &'static str,
    /// What admission says of the request besides yes or no: the service puts it into the answer and the audit log.
    pub(crate) remarks: Arc<Remarks>,
}

impl Call {
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            resource: &self.resource,
            namespace: &self.namespace,
            user: &self.user,
            dry_run: self.query.get("dryRun").is_some(),
            subresource: self.route.subresource.as_deref().unwrap_or_default(),
            admitted: false,
            field_manager: options::field_manager(&self.query, &self.headers),
            options: Options::Query(&self.query),
            remarks: &self.remarks,
        }
    }

    /// Answers the request.
    pub(crate) async fn answer(self, request: http::Request<RequestBody>) -> Result<Response<ResponseBody>, ApiError> {
        if let Some(text) = &self.resource.declaration.deprecation {
            self.remarks.warn(&**text);
        }
        options::check(self.verb, &self.query, &self.headers)?;
        if let Some(name) = &self.route.subresource {
            let Some(subresource) = self.resource.declaration.subresource(name) else {
                return Err(ApiError::no_route());
            };
            return subresource::answer(self, *subresource, request).await;
        }
        if self.resource.declaration.verbs == Verbs::CreateOnly {
            if self.verb != "create" {
                return Err(ApiError::method_not_allowed());
            }
            return reviews::answer(&self, request.into_body()).await;
        }
        let name = self.route.name.clone();
        match (self.verb, name) {
            ("get", Some(name)) => list::get(&self, &name).await,
            ("list", None) => list::list(&self).await,
            ("watch", _) => {
                let events = watch::watch(&self).await?;
                if websocket::is_wanted(&self.headers) && matches!(self.encoding, Encoding::Json) {
                    return websocket::lines(events, request, &self.core.scope);
                }
                Ok(events)
            }
            ("create", None) => self.create(request.into_body()).await,
            ("update", Some(name)) => self.update(&name, UpdateKind::Object, request.into_body()).await,
            ("patch", Some(name)) => patch::patch(&self, &name, UpdateKind::Object, request.into_body()).await,
            ("delete", Some(name)) => self.delete(&name, request.into_body()).await,
            ("deletecollection", None) => self.delete_collection(request.into_body()).await,
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    /// The object in the request's body, in the storage version.
    async fn decode(&self, body: RequestBody, warnings: &mut Vec<String>) -> Result<Value, ApiError> {
        let validation = FieldValidation::parse(&self.query)?;
        let format = negotiate::body_format(&self.headers)?;
        if format == BodyFormat::Protobuf && self.resource.custom.is_some() {
            let offered = "application/json, application/yaml";
            return Err(ApiError::unsupported_media_type(minato_protobuf::MEDIA_TYPE, offered));
        }
        let bytes = body::read(&self.headers, body).await?;
        decode::object(&self.resource, decode::parse(&bytes, format)?, validation, warnings)
    }

    async fn create(&self, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
        if self.resource.declaration.namespaced && self.namespace.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        if self.resource.declaration.verbs == Verbs::Ending {
            return Err(ApiError::not_supported(&self.resource.subject(""), "create"));
        }
        let mut warnings = Vec::new();
        let object = self.decode(body, &mut warnings).await?;
        let created = self.core.create(&self.target(), object).await?;
        let created = self.core.presented_one(&self.resource, created).await?;
        let bytes = encode::one(&self.resource, self.form, &created)?;
        Ok(warn(body::json_bytes(StatusCode::CREATED, bytes), &warnings))
    }

    /// PUT of the object or its status.
    pub(crate) async fn update(
        &self,
        name: &str,
        kind: UpdateKind,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let mut warnings = Vec::new();
        let object = self.decode(body, &mut warnings).await?;
        let declaration = &self.resource.declaration;
        let absent = self.core.memory().get(&self.target().key_of(name)).is_none();
        if absent && kind == UpdateKind::Object && declaration.strategy.allow_create_on_update() {
            let created = self.core.create(&self.target(), object).await?;
            let created = self.core.presented_one(&self.resource, created).await?;
            let bytes = encode::one(&self.resource, self.form, &created)?;
            return Ok(warn(body::json_bytes(StatusCode::CREATED, bytes), &warnings));
        }
        let written = self.core.update(&self.target(), name, kind, &mut |_| Ok(object.clone())).await?;
        let written = self.core.presented_one(&self.resource, written).await?;
        let bytes = encode::one(&self.resource, self.form, &written)?;
        Ok(warn(body::json_bytes(StatusCode::OK, bytes), &warnings))
    }

    /// `DeleteOptions` may come in the body, where there is one.
    async fn delete_options(&self, body: RequestBody) -> Result<DeleteOptions, ApiError> {
        let bytes = body::read(&self.headers, body).await?;
        if bytes.is_empty() {
            return DeleteOptions::parse(&self.query, None);
        }
        let format = negotiate::body_format(&self.headers).unwrap_or(BodyFormat::Json);
        DeleteOptions::parse(&self.query, Some(&decode::parse(&bytes, format)?.value))
    }

    async fn delete(&self, name: &str, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
        let options = self.delete_options(body).await?;
        let target = Target { dry_run: options.dry_run, ..self.target() };
        match self.core.delete(&target, name, &options).await? {
            Deletion::Removed(object) if !self.answers_with_object() => {
                let uid = crate::object::text(&crate::write::parse(&object)?, "uid").to_owned();
                Ok(body::json(StatusCode::OK, &status::deleted(&self.resource.subject(name), &uid)))
            }
            Deletion::Removed(object) | Deletion::Marked(object) => {
                let object = self.core.presented_one(&self.resource, object).await?;
                Ok(body::json_bytes(StatusCode::OK, encode::one(&self.resource, Form::Object, &object)?))
            }
        }
    }

    /// Most kinds answer a deletion with a `Status`, some with what they were.
    fn answers_with_object(&self) -> bool {
        let declaration = &self.resource.declaration;
        minato_schema::deletion_answers_with_object(&declaration.group, &declaration.kind)
    }

    async fn delete_collection(&self, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
        let declaration = &self.resource.declaration;
        let everywhere = declaration.namespaced && self.namespace.is_empty();
        if everywhere || !declaration.verbs.names().contains(&"deletecollection") {
            return Err(ApiError::method_not_allowed());
        }
        let options = self.delete_options(body).await?;
        let filter = Filter::parse(&self.resource, &self.namespace, &self.query)?;
        let mut items = Vec::new();
        for object in list::selected(&self.core, &self.resource, &filter) {
            let target = Target { namespace: &object.key.namespace, dry_run: options.dry_run, ..self.target() };
            match self.core.delete(&target, &object.key.name, &options).await {
                Ok(Deletion::Removed(object) | Deletion::Marked(object)) => {
                    let object = self.core.presented_one(&self.resource, object).await?;
                    items.push(encode::shown_value(&self.resource, &object)?);
                }
                // Somebody else was faster; it is gone, as was asked for.
                Err(error) if error.code == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        let list = serde_json::json!({
            "kind": self.resource.declaration.list_kind, "apiVersion": self.resource.api_version,
            "metadata": {"resourceVersion": self.core.memory().revision().to_string()}, "items": items,
        });
        Ok(body::json(StatusCode::OK, &list))
    }
}

/// Characters of all warnings of an answer; when they are more, each one is cut to [`WARNING_CHARACTERS_MAX`].
const WARNINGS_CHARACTERS_MAX: usize = 4096;
const WARNING_CHARACTERS_MAX: usize = 256;

/// Adds `Warning` headers, as many as clients have room for.
pub(crate) fn warn(mut response: Response<ResponseBody>, warnings: &[String]) -> Response<ResponseBody> {
    let length = |text: &str| text.chars().count();
    let headers = response.headers_mut();
    let mut written: usize = headers.get_all(http::header::WARNING).iter().map(HeaderValue::len).sum();
    let cut = written + warnings.iter().map(|text| length(text)).sum::<usize>() > WARNINGS_CHARACTERS_MAX;
    for warning in warnings {
        if written >= WARNINGS_CHARACTERS_MAX {
            break;
        }
        let text: String = warning
            .chars()
            .take(if cut { WARNING_CHARACTERS_MAX } else { usize::MAX })
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
            .collect();
        written += length(&text);
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            headers.append(http::header::WARNING, value);
        }
    }
    response
}

/// Whether `method` may have been meant as a connection to what runs in the cluster.
pub(crate) fn is_connect(subresource: Subresource, method: &Method) -> bool {
    match subresource {
        Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
            matches!(*method, Method::GET | Method::POST)
        }
        Subresource::Proxy => true,
        _ => false,
    }
}
