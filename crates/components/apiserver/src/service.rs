//! The one path of every request: route → authenticate → authorise → answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use minato_http::BoxError;
use minato_kinds::{Subresource, Verbs};
use tower::Service;

use crate::admission::Remarks;
use crate::authenticate::Credentials;
use crate::authorize::{Action, ResourceAction, Selector, Selectors, refusal};
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, is_connect, warn};
use crate::core::Core;
use crate::identity::User;
use crate::passage::{Asked, Passage};
use crate::registry::Resource;
use crate::route::{Query, ResourceRoute, Route};
use crate::status::{ApiError, Subject};
use crate::{discovery, health, issuer, metrics, negotiate, openapi, passage, relay, usage};

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
            // Clients within this process do not introduce themselves: their user does.
            let name = match user.name.strip_prefix("system:") {
                Some(node) if node.starts_with("node:") => "kubelet",
                Some(component) => component,
                None => &user.name,
            };
            if let Ok(agent) = http::HeaderValue::from_str(name) {
                request.headers_mut().entry(http::header::USER_AGENT).or_insert(agent);
            }
        }
        let core = Arc::clone(&self.core);
        Box::pin(async move { Ok(passage::serve(core, request).await) })
    }
}

/// Answers a request that asks for `route`.
pub(crate) async fn respond(
    core: Arc<Core>,
    request: Request<RequestBody>,
    route: Route,
    query: Query,
    passage: &mut Passage,
) -> Result<Response<ResponseBody>, ApiError> {
    let user = match core.authenticate(Credentials::of(&request)).await {
        Ok(user) => user,
        Err(error) => {
            passage.audit(&route, &query, None, &request);
            return Err(error);
        }
    };
    passage.audit(&route, &query, Some(&user), &request);
    if let Some(rejected) = passage.take_seat(&core, &user, &route, &query, request.method()).await {
        return Ok(rejected);
    }
    let request =
        if passage.record.is_some() { Box::pin(passage.note_request(&route, request)).await? } else { request };
    match route {
        Route::Path(path) => {
            let verb = request.method().as_str().to_ascii_lowercase();
            let action = Action::Path { verb: &verb, path: &path };
            let decision = core.authorizer.decide(&user, &action).await;
            passage.note_decision(&decision);
            if !decision.is_allowed() {
                return Err(ApiError::forbidden_path(&refusal(&user, &action, decision.reason())));
            }
            if let Some((group, version)) = openapi::remote_version(&core, &path)
                && let Some(remote) = core.aggregator.find(&group, &version)
            {
                return core.aggregator.relay(&core, &remote, &user, request).await;
            }
            by_path(&core, &path, &query, request.method(), request.headers()).await
        }
        Route::Resource(route) => by_resource(core, route, query, user, request, passage).await,
    }
}

async fn by_path(
    core: &Arc<Core>,
    path: &str,
    query: &Query,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, ApiError> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed());
    }
    if path == "/metrics" {
        return metrics::answer(core);
    }
    if let Some(response) = health::answer(core, path, query) {
        return Ok(response);
    }
    if let Some(response) = issuer::answer(core, path) {
        return Ok(response);
    }
    if let Some(response) = discovery::answer(&core.registry.served(), path, headers) {
        return response;
    }
    openapi::answer(core, path, headers).await.unwrap_or_else(|| Err(ApiError::no_route()))
}

async fn by_resource(
    core: Arc<Core>,
    route: ResourceRoute,
    query: Query,
    user: User,
    mut request: Request<RequestBody>,
    passage: &mut Passage,
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
    passage.asks(asked(resource.as_ref(), connects.copied(), &route, &query, (verb, &request)));
    if let Some(held) = passage.held().filter(|_| relay::is_upgrade(request.headers())) {
        request.extensions_mut().insert(held);
    }
    let namespace = route.authorized_namespace().to_owned();
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
    passage.note_decision(&decision);
    if !decision.is_allowed() {
        let subject = Subject { group: &route.group, resource: &route.resource, name: &name };
        return Err(ApiError::forbidden(&subject, &refusal(&user, &action, decision.reason())));
    }
    let Some(resource) = resource else {
        return match core.aggregator.find(&route.group, &route.version) {
            Some(remote) => core.aggregator.relay(&core, &remote, &user, request).await,
            None => usage::answer(&core, &route, &query, verb, request.headers()).await,
        };
    };
    if resource.declaration.namespaced {
        if route.namespace.is_none() && route.name.is_some() {
            return Err(ApiError::no_route());
        }
    } else if route.namespace.is_some() {
        return Err(ApiError::no_route());
    }
    let plain = negotiate::Accepted { form: negotiate::Form::Object, encoding: negotiate::Encoding::Json };
    let negotiate::Accepted { form, encoding } = match connects {
        Some(_) if subresource == "log" => plain,
        Some(subresource) if is_connect(*subresource, request.method()) => plain,
        _ if negotiate::is_plain(request.headers()) => plain,
        _ => {
            let protobuf = minato_protobuf::has_form(&resource.api_version, &resource.declaration.kind)
                || connects.is_some_and(|subresource| subresource.body().is_some());
            let offer = negotiate::Offer { watch: verb == "watch", protobuf };
            let accepted = negotiate::accepted(request.headers(), &query, offer)?;
            // An answer to a question has no metadata to show, and no columns.
            if resource.declaration.verbs == Verbs::CreateOnly && accepted.form != negotiate::Form::Object {
                return Err(negotiate::not_acceptable(offer));
            }
            accepted
        }
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
        encoding,
        verb,
        core,
        remarks: Arc::clone(&remarks),
    };
    let answer = call.answer(request).await;
    let warnings = remarks.take_warnings();
    if let Some(record) = &mut passage.record {
        remarks.annotations().iter().for_each(|(key, value)| record.annotate(key, value));
    }
    match answer {
        // Refusals carry warnings as well.
        Err(error) if !warnings.is_empty() => {
            tracing::debug!(code = error.code.as_u16(), error = %error, "request refused");
            Ok(warn(body::error(&error), &warnings))
        }
        answer => answer.map(|response| warn(response, &warnings)),
    }
}

/// What a request for a resource is counted under.
fn asked(
    resource: Option<&Arc<Resource>>,
    subresource: Option<Subresource>,
    route: &ResourceRoute,
    query: &Query,
    (verb, request): (&'static str, &Request<RequestBody>),
) -> Asked {
    let connects = subresource.is_some_and(|subresource| is_connect(subresource, request.method()));
    let verb = match verb {
        _ if connects => "CONNECT",
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" if negotiate::media_type(request.headers()).starts_with("application/apply-patch") => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        _ => "DELETECOLLECTION",
    };
    let scope = match (&route.name, &route.namespace) {
        (Some(_), _) => "resource",
        _ if verb == "POST" => "resource",
        (None, Some(_)) => "namespace",
        (None, None) => "cluster",
    };
    Asked {
        resource: resource.cloned(),
        verb,
        subresource: subresource.map_or("", |subresource| subresource.name()),
        scope,
        dry_run: query.get("dryRun").is_some(),
        long_running: connects || verb == "WATCH" || matches!(subresource, Some(Subresource::Log)),
    }
}
