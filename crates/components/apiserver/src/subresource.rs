//! The parts of an object that have a URL of their own.

mod binding;
mod eviction;
mod scale;
mod token;

use http::{Request, Response, StatusCode};
use minato_kinds::Subresource;
use serde_json::Value;

use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, is_connect};
use crate::decode::{self, FieldValidation};
use crate::encode;
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
        (Subresource::Finalize, "update") => part(&call, &name, request.into_body(), finalize).await,
        (Subresource::Approval, "get") => list::get(&call, &name),
        (Subresource::Approval, "update") => part(&call, &name, request.into_body(), approve).await,
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

/// PUT of an object of which only what `merge` takes over counts.
async fn part(
    call: &Call,
    name: &str,
    body: RequestBody,
    merge: fn(&mut Value, &Value),
) -> Result<Response<ResponseBody>, ApiError> {
    let format = negotiate::body_format(&call.headers)?;
    let bytes = body::read(&call.headers, body).await?;
    let validation = FieldValidation::parse(&call.query)?;
    let given = decode::object(&call.resource, decode::parse(&bytes, format)?, validation, &mut Vec::new())?;
    let mut change = |old: &Value| {
        let mut new = old.clone();
        merge(&mut new, &given);
        new["metadata"]["resourceVersion"] = given["metadata"]["resourceVersion"].clone();
        Ok(new)
    };
    let written = call.core.update(&call.target(), name, UpdateKind::Part, &mut change).await?;
    Ok(body::json_bytes(StatusCode::OK, encode::one(&call.resource, call.form, &written)?))
}

fn finalize(new: &mut Value, given: &Value) {
    new["spec"]["finalizers"] = given["spec"]["finalizers"].clone();
}

fn approve(new: &mut Value, given: &Value) {
    new["status"]["conditions"] = given["status"]["conditions"].clone();
}
