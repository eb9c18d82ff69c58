//! PATCH: JSON patch, merge patch and strategic merge patch, applied to the version that the client sees.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, warn};
use crate::decode::{self, FieldValidation, Parsed};
use crate::encode;
use crate::negotiate::{self, BodyFormat};
use crate::status::ApiError;
use crate::write::UpdateKind;
use crate::{apply, options};

const OFFERED: &str = "application/json-patch+json, application/merge-patch+json, \
    application/strategic-merge-patch+json, application/apply-patch+yaml";

/// How much is held against a JSON patch at most.
const COMPLAINTS_MAX: usize = 100;

/// A patch's form, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    Strategic,
}

impl PatchType {
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        match negotiate::media_type(&call.headers) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            other => Err(ApiError::unsupported_media_type(other, OFFERED)),
        }
    }
}

/// A patch that parses.
pub(crate) struct Patch {
    change: Change,
    /// What strictness holds against its text.
    complaints: Vec<String>,
}

enum Change {
    Json(Bytes),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    pub(crate) async fn read(call: &Call, body: RequestBody) -> Result<Self, ApiError> {
        let kind = PatchType::of(call)?;
        let bytes = body::read(&call.headers, body).await?;
        if kind == PatchType::Json {
            return Ok(Self { complaints: complaints_of_operations(&bytes), change: Change::Json(bytes) });
        }
        let Parsed { value, duplicates, .. } = decode::parse(&bytes, BodyFormat::Json)?;
        let complaints = duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
        let change = if kind == PatchType::Merge { Change::Merge(value) } else { Change::Strategic(value) };
        Ok(Self { change, complaints })
    }

    /// Applies the patch to `object`; `schema` says how lists merge.
    pub(crate) fn apply(&self, object: &mut Value, schema: Option<&minato_schema::Schema>) -> Result<(), ApiError> {
        let refused = |error: minato_patch::PatchError| match error.code() {
            422 => ApiError::unprocessable(error.to_string()),
            413 => ApiError::too_much(error.to_string()),
            _ => ApiError::bad_request(error.to_string()),
        };
        match (&self.change, schema) {
            (Change::Json(bytes), _) => minato_patch::json_patch(object, bytes).map_err(refused),
            (Change::Merge(patch), _) => minato_patch::merge_patch(object, patch.clone()).map_err(refused),
            (Change::Strategic(patch), Some(schema)) => {
                minato_patch::strategic_merge_patch(object, patch.clone(), schema).map_err(refused)
            }
            (Change::Strategic(_), None) => Err(ApiError::unsupported_media_type(
                "application/strategic-merge-patch+json",
                "application/json-patch+json, application/merge-patch+json",
            )),
        }
    }
}

/// What a JSON patch says twice, or beside what an operation consists of.
fn complaints_of_operations(bytes: &[u8]) -> Vec<String> {
    // What does not parse is refused when it is applied.
    let Ok((operations, duplicates)) = minato_schema::parse_json(bytes) else { return Vec::new() };
    let mut complaints: Vec<String> =
        duplicates.iter().map(|path| format!("json patch duplicate field {path:?}")).collect();
    for (index, operation) in operations.as_array().into_iter().flatten().enumerate() {
        let unknown = operation.as_object().into_iter().flat_map(|fields| fields.keys());
        let unknown = unknown.filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
        let room = COMPLAINTS_MAX.saturating_sub(complaints.len());
        complaints.extend(unknown.take(room).map(|name| format!("json patch unknown field \"[{index}].{name}\"")));
    }
    complaints
}

/// PATCH of the object or its status.
pub(crate) async fn patch(
    call: &Call,
    name: &str,
    kind: UpdateKind,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
    if negotiate::media_type(&call.headers) == options::APPLY {
        return apply::apply(call, name, kind, body).await;
    }
    let validation = FieldValidation::parse(&call.query)?;
    let patch = Patch::read(call, body).await?;
    let resource = &call.resource;
    let mut warnings = Vec::new();
    let mut change = |old: &Value| {
        let mut object = old.clone();
        if !resource.shows_stored() {
            resource.declaration.to_version(&mut object, &resource.api_version);
        }
        patch.apply(&mut object, resource.schema())?;
        warnings.clear();
        let patched = Parsed { value: object, complaints: patch.complaints.clone(), ..Parsed::default() };
        decode::object(resource, patched, validation, &mut warnings)
    };
    let written = call.core.update(&call.target(), name, kind, &mut change).await?;
    let written = call.core.presented_one(resource, written).await?;
    let bytes = encode::one(resource, call.form, &written)?;
    Ok(warn(body::json_bytes(StatusCode::OK, bytes), &warnings))
}
