//! The OpenAPI documents, made when first asked for.

use http::{HeaderMap, Response};

use crate::body::ResponseBody;
use crate::core::Core;
use crate::status::ApiError;

/// The documents that were asked for so far.
#[derive(Default)]
pub(crate) struct Documents {}

/// Answers a path below `/openapi`.
pub(crate) fn answer(
    _core: &Core,
    _path: &str,
    _headers: &HeaderMap,
) -> Option<Result<Response<ResponseBody>, ApiError>> {
    None
}
