//! The one path of every request: route → authenticate → authorise → answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use minato_http::BoxError;
use minato_kinds::Subresource;
use tower::Service;

use crate::admission::Remarks;
use crate::authorize::{Action, ResourceAction, Selector, Selectors, refusal};
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, is_connect, warn};
use crate::core::Core;
use crate::identity::User;
use crate::route::{Query, ResourceRoute, Route};
use crate::status::{ApiError, Subject};
use crate::{discovery, health, negotiate, openapi};

/// The API server as a `tower::Service`; a clone is a pointer copy.
#[derive(Clone)]
pub struct ApiService {
    pub(crate) core: Arc<Core>,
    /// Whose requests these are, where the transport knows: in-process clients.
    pub(crate) user: Option<User>,
}

impl<B> Service<Request<B>> for ApiService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        if let Some(user) = &self.user {
            request.extensions_mut().insert(user.clone());
        }
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let method = request.method().clone();
            let path = request.uri().path().to_owned();
            let audit_id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok();
            let mut response = respond(core, request).await.unwrap_or_else(|error| {
                tracing::debug!(%method, path, code = error.code.as_u16(), error = %error, "request refused");
                body::error(&error)
            });
            let headers = response.headers_mut();
            headers.entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
            if let Some(id) = audit_id {
                headers.insert("audit-id", id);
            }
            Ok(response)
        })
    }
}

async fn respond(core: Arc<Core>, request: Request<RequestBody>) -> Result<Response<ResponseBody>, ApiError> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let route = Route::parse(request.uri().path()).ok_or_else(ApiError::no_route)?;
    let user = core.authenticate(&request)?;
    match route {
        Route::Path(path) => {
            let verb = request.method().as_str().to_ascii_lowercase();
            let action = Action::Path { verb: &verb, path: &path };
            let decision = core.authorizer.decide(&user, &action).await;
            if !decision.is_allowed() {
                return Err(ApiError::forbidden_path(&refusal(&user, &action, decision.reason())));
            }
            by_path(&core, &path, &query, &request)
        }
        Route::Resource(route) => by_resource(core, route, query, user, request).await,
    }
}

fn by_path(
    core: &Core,
    path: &str,
    query: &Query,
    request: &Request<RequestBody>,
) -> Result<Response<ResponseBody>, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    if let Some(response) = health::answer(core, path, query) {
        return Ok(response);
    }
    if let Some(response) = discovery::answer(&core.registry.served(), path, request.headers()) {
        return response;
    }
    openapi::answer(core, path, request.headers()).unwrap_or_else(|| Err(ApiError::no_route()))
}

async fn by_resource(
    core: Arc<Core>,
    route: ResourceRoute,
    query: Query,
    user: User,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, ApiError> {
    let resource = core.registry.find(&route.group, &route.version, &route.resource);
    let subresource = route.subresource.as_deref().unwrap_or_default();
    let connects = resource.as_ref().and_then(|resource| resource.declaration.subresource(subresource));
    let verb = match route.verb(request.method(), query.flag("watch")) {
        Some(verb) => verb,
        // A proxied server may know methods for which there is no verb, such as OPTIONS.
        None if matches!(connects, Some(Subresource::Proxy)) => "",
        None => return Err(ApiError::method_not_allowed()),
    };
    // Opening a stream to a pod by POST creates, by GET (WebSocket) gets, as upstream authorises them.
    let verb = if connects.is_some_and(|s| is_connect(*s, request.method()) && request.method() == Method::POST) {
        "create"
    } else {
        verb
    };
    // A namespace is its own namespace, so that a role in it can speak of it.
    let namespace = match (&route.namespace, route.resource.as_str(), &route.name) {
        (Some(namespace), _, _) => namespace.clone(),
        (None, "namespaces", Some(name)) if route.group.is_empty() => name.clone(),
        _ => String::new(),
    };
    let name = route.name.clone().unwrap_or_default();
    let action = Action::Resource(ResourceAction {
        verb,
        group: &route.group,
        version: &route.version,
        resource: &route.resource,
        subresource,
        namespace: &namespace,
        name: &name,
        selectors: match verb {
            "list" | "watch" | "deletecollection" => Selectors {
                field: Selector::raw(query.get("fieldSelector")),
                label: Selector::raw(query.get("labelSelector")),
            },
            _ => Selectors::default(),
        },
    });
    let decision = core.authorizer.decide(&user, &action).await;
    if !decision.is_allowed() {
        let subject = Subject { group: &route.group, resource: &route.resource, name: &name };
        return Err(ApiError::forbidden(&subject, &refusal(&user, &action, decision.reason())));
    }
    let resource = resource.ok_or_else(ApiError::no_route)?;
    if resource.declaration.namespaced {
        if route.namespace.is_none() && route.name.is_some() {
            return Err(ApiError::no_route());
        }
    } else if route.namespace.is_some() {
        return Err(ApiError::no_route());
    }
    let form = match connects {
        Some(_) if subresource == "log" => negotiate::Form::Object,
        Some(subresource) if is_connect(*subresource, request.method()) => negotiate::Form::Object,
        _ => negotiate::form(request.headers(), &query)?,
    };
    let remarks = Arc::new(Remarks::default());
    let call = Call {
        resource,
        namespace: route.namespace.clone().unwrap_or_default(),
        headers: request.headers().clone(),
        route,
        user,
        query,
        form,
        verb,
        core,
        remarks: Arc::clone(&remarks),
    };
    let answer = call.answer(request).await;
    let warnings = remarks.take_warnings();
    match answer {
        // Refusals carry warnings as well.
        Err(error) if !warnings.is_empty() => {
            tracing::debug!(code = error.code.as_u16(), error = %error, "request refused");
            Ok(warn(body::error(&error), &warnings))
        }
        answer => answer.map(|response| warn(response, &warnings)),
    }
}
