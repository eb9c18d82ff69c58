//! The parts of an object that have a URL of their own.

mod binding;
mod eviction;
mod scale;
mod token;

use http::{Request, Response};
use minato_kinds::Subresource;
use serde_json::Value;

use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, is_connect};
use crate::decode::{self, FieldValidation};
use crate::list;
use crate::negotiate;
use crate::patch;
use crate::status::ApiError;
use crate::write::UpdateKind;

pub(crate) use binding::bind;

/// Answers a request for `subresource` of the object that the route names.
pub(crate) async fn answer(
    call: Call,
    subresource: Subresource,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, ApiError> {
    let name = call.route.name.clone().ok_or_else(ApiError::no_route)?;
    if is_connect(subresource, request.method()) {
        let target = call.target();
        let context = target.context(&call.core, Operation::Connect, &name, None);
        call.core.admit(&context, &mut connect_options(&call, context.kind().2)).await?;
        if matches!(subresource, Subresource::Proxy) {
            return call.core.proxy.connect(&call, &name, request).await;
        }
        return call.core.tunnel.connect(&call, &name, subresource, request).await;
    }
    match (subresource, call.verb) {
        (Subresource::Status, "get") => list::get(&call, &name).await,
        (Subresource::Status, "update") => call.update(&name, UpdateKind::Status, request.into_body()).await,
        (Subresource::Status, "patch") => patch::patch(&call, &name, UpdateKind::Status, request.into_body()).await,
        (Subresource::Scale, "get" | "update" | "patch") => scale::answer(&call, &name, request.into_body()).await,
        (Subresource::Binding, "create") => binding::answer(&call, &name, request.into_body()).await,
        (Subresource::Eviction, "create") => eviction::answer(&call, &name, request.into_body()).await,
        (Subresource::Token, "create") => token::answer(&call, &name, request.into_body()).await,
        (
            Subresource::Approval | Subresource::EphemeralContainers | Subresource::Finalize | Subresource::Resize,
            verb @ ("get" | "update" | "patch"),
        ) => {
            let kind = UpdateKind::Subresource(subresource);
            match verb {
                "get" => list::get(&call, &name).await,
                "update" => call.update(&name, kind, request.into_body()).await,
                _ => patch::patch(&call, &name, kind, request.into_body()).await,
            }
        }
        (Subresource::Log, "get") => call.core.tunnel.logs(&call, &name, request).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The query of a connection as the object that admission sees, such as `PodExecOptions`.
fn connect_options(call: &Call, kind: &str) -> Value {
    let mut options = serde_json::Map::from_iter([
        ("kind".to_owned(), Value::from(kind)),
        ("apiVersion".to_owned(), Value::from("v1")),
    ]);
    for key in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.flag(key) {
            options.insert(key.to_owned(), true.into());
        }
    }
    if let Some(container) = call.query.get("container") {
        options.insert("container".to_owned(), container.into());
    }
    let command: Vec<&str> = call.query.all("command").collect();
    if !command.is_empty() {
        options.insert("command".to_owned(), command.into());
    }
    let ports: Vec<i64> = call.query.all("ports").filter_map(|port| port.parse().ok()).collect();
    if !ports.is_empty() {
        options.insert("ports".to_owned(), ports.into());
    }
    Value::Object(options)
}

/// Parses a body that must be `kind` in `api_version`.
async fn body_of(
    call: &Call,
    body: RequestBody,
    (group, version, kind): (&str, &str, &str),
) -> Result<Value, ApiError> {
    let format = negotiate::body_format(&call.headers)?;
    let bytes = body::read(&call.headers, body).await?;
    let mut parsed = decode::parse(&bytes, format)?;
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    decode::check_kind(&mut parsed.value, &api_version, kind)?;
    let schema = minato_schema::builtin(group, version, kind);
    decode::conform(schema, &mut parsed, FieldValidation::parse(&call.query)?, &mut Vec::new())?;
    Ok(parsed.value)
}
