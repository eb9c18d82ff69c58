//! The parts of an object that have a URL of their own.

mod binding;
mod eviction;
mod scale;
mod token;

use http::{Request, Response};
use minato_kinds::Subresource;
use serde_json::Value;

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
        return call.core.tunnel.connect(&call, &name, subresource, request).await;
    }
    match (subresource, call.verb) {
        (Subresource::Status, "get") => list::get(&call, &name),
        (Subresource::Status, "update") => call.update(&name, UpdateKind::Status, request.into_body()).await,
        (Subresource::Status, "patch") => patch::patch(&call, &name, UpdateKind::Status, request.into_body()).await,
        (Subresource::Scale(paths), "get" | "update" | "patch") => {
            scale::answer(&call, &name, paths, request.into_body()).await
        }
        (Subresource::Binding, "create") => binding::answer(&call, &name, request.into_body()).await,
        (Subresource::Eviction, "create") => eviction::answer(&call, &name, request.into_body()).await,
        (Subresource::Token, "create") => token::answer(&call, &name, request.into_body()).await,
        (
            Subresource::Approval | Subresource::EphemeralContainers | Subresource::Finalize | Subresource::Resize,
            verb @ ("get" | "update" | "patch"),
        ) => {
            let kind = UpdateKind::Subresource(subresource);
            match verb {
                "get" => list::get(&call, &name),
                "update" => call.update(&name, kind, request.into_body()).await,
                _ => patch::patch(&call, &name, kind, request.into_body()).await,
            }
        }
        (Subresource::Log, "get") => call.core.tunnel.logs(&call, &name, request).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Parses a body that must be `kind` in `api_version`.
async fn body_of(
    call: &Call,
    body: RequestBody,
    (group, version, kind): (&str, &str, &str),
) -> Result<Value, ApiError> {
    let format = negotiate::body_format(&call.headers)?;
    let bytes = body::read(&call.headers, body).await?;
    let decode::Parsed { mut value, duplicates } = decode::parse(&bytes, format)?;
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    decode::check_kind(&mut value, &api_version, kind)?;
    let schema = minato_schema::builtin(group, version, kind);
    decode::conform(schema, &mut value, &duplicates, FieldValidation::parse(&call.query)?, &mut Vec::new())?;
    Ok(value)
}
