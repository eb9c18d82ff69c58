//! `token`: a `TokenRequest` for a service account.

use http::{Response, StatusCode};
use serde_json::json;

use super::body_of;
use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::object;
use crate::status::ApiError;
use crate::tokens::Wanted;

pub(super) async fn answer(call: &Call, name: &str, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let mut request = body_of(call, body, ("authentication.k8s.io", "v1", "TokenRequest")).await?;
    let target = call.target();
    call.core.admit(&target.context(&call.core, Operation::Create, name, None), &mut request).await?;
    let wanted = Wanted { namespace: &call.namespace, account: name, request: &request };
    let issued = call.core.issue_token(&wanted)?;
    request["spec"]["audiences"] = issued.audiences.into();
    request["spec"]["expirationSeconds"] = issued.seconds.into();
    request["status"] = json!({"token": issued.token, "expirationTimestamp": object::time(issued.expires)});
    request["metadata"]["name"] = name.into();
    request["metadata"]["namespace"] = call.namespace.as_str().into();
    Ok(body::json(StatusCode::CREATED, &request))
}
