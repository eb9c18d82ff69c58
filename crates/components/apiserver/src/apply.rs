//! PATCH with a configuration: server-side apply (KEP-555).

use http::{Response, StatusCode};
use jiff::Timestamp;
use minato_apply::{Apply, ApplyError};
use serde_json::Value;

use crate::authorize::{Action, ResourceAction, Selectors, refusal};
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::{Call, warn};
use crate::decode::{self, FieldValidation, Parsed};
use crate::encode;
use crate::negotiate::BodyFormat;
use crate::object;
use crate::status::ApiError;
use crate::write::{Target, UpdateKind, reset_fields};

/// How often an object that comes and goes meanwhile is tried again.
const ATTEMPTS_MAX: usize = 5;

/// A configuration that parses.
pub(crate) struct Configuration {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
    force: bool,
}

impl Configuration {
    /// Reads YAML, or JSON.
    pub(crate) async fn read(call: &Call, body: RequestBody) -> Result<Self, ApiError> {
        let validation = FieldValidation::parse(&call.query)?;
        let bytes = body::read(&call.headers, body).await?;
        let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let parsed = if is_json { decode::parse(&bytes, BodyFormat::Json) } else { Err(ApiError::bad_request("")) };
        let Parsed { value, duplicates, mut complaints } = match parsed {
            Ok(parsed) => parsed,
            Err(_) => decode::parse(&bytes, BodyFormat::Yaml)
                .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {}", error.message)))?,
        };
        if !duplicates.is_empty() {
            // JSON is told of as the YAML that it is.
            complaints.extend(std::str::from_utf8(&bytes).ok().and_then(decode::repeated_keys));
        }
        let mut complaints = complaints.iter().map(|words| format!("error converting YAML to JSON: {words}"));
        let mut warnings = Vec::new();
        match validation {
            FieldValidation::Strict => {
                if let Some(complaint) = complaints.next() {
                    return Err(ApiError::bad_request(format!("error strict decoding YAML: {complaint}")));
                }
            }
            FieldValidation::Warn => warnings = complaints.collect(),
            FieldValidation::Ignore => {}
        }
        Ok(Self { value, warnings, force: call.query.flag("force") })
    }

    /// `live`, or nothing, with the configuration applied: both in the version of `call`.
    pub(crate) fn apply(
        &self,
        call: &Call,
        kind: UpdateKind,
        live: Option<&Value>,
        configuration: Value,
    ) -> Result<Value, ApiError> {
        let resource = &call.resource;
        let target = call.target();
        let Some(topology) = resource.topology() else {
            return Err(ApiError::unexplained(format!(
                "no corresponding type for {}, Kind={}",
                resource.api_version, resource.declaration.kind
            )));
        };
        let now = object::time(Timestamp::now());
        let reset = reset_fields(kind, resource.declaration.has_status(), &configuration);
        let reset: Vec<&str> = reset.iter().map(AsRef::as_ref).collect();
        let request = Apply {
            manager: target.field_manager,
            api_version: &resource.api_version,
            subresource: target.subresource,
            now: now.as_str().unwrap_or_default(),
            reset: &reset,
            force: self.force,
        };
        let mut applied = minato_apply::apply(topology, live, configuration, &request).map_err(refused)?;
        if let Some(schema) = resource.schema() {
            // What the configuration wants empty is owned, but not kept.
            minato_schema::conform(schema, &mut applied).map_err(|error| ApiError::bad_request(error.to_string()))?;
        }
        Ok(applied)
    }
}

fn refused(error: ApplyError) -> ApiError {
    let message = error.to_string();
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes = conflicts.into_iter().map(|conflict| (conflict.path.to_string(), conflict.to_string()));
            ApiError::apply_conflict(message, causes)
        }
        ApplyError::Malformed { .. } => ApiError::unexplained(message),
        ApplyError::ManagedFieldsGiven | ApplyError::WrongVersion { .. } => ApiError::bad_request(message),
    }
}

/// Applies a configuration to the object `name` or a part of it; makes the object where there is none.
pub(crate) async fn apply(
    call: &Call,
    name: &str,
    kind: UpdateKind,
    body: RequestBody,
) -> Result<Response<ResponseBody>, ApiError> {
    let configuration = Configuration::read(call, body).await?;
    let resource = &call.resource;
    // The managers are in the object that the engine makes: no others are noted.
    let target = Target { field_manager: "", ..call.target() };
    for _ in 0..ATTEMPTS_MAX {
        let (code, written) = if call.core.memory().get(&target.key_of(name)).is_some() {
            let mut change = |old: &Value| {
                let mut live = old.clone();
                if !resource.shows_stored() {
                    resource.declaration.to_version(&mut live, &resource.api_version);
                }
                let mut new = configuration.apply(call, kind, Some(&live), configuration.value.clone())?;
                resource.declaration.to_storage(&mut new);
                Ok(new)
            };
            (StatusCode::OK, call.core.update(&target, name, kind, &mut change).await)
        } else if kind == UpdateKind::Object {
            let mut new = configuration.apply(call, kind, None, configuration.value.clone())?;
            begin(call, name, &mut new).await?;
            resource.declaration.to_storage(&mut new);
            (StatusCode::CREATED, call.core.create(&target, new).await)
        } else {
            return Err(resource.not_found(name));
        };
        match (code, written) {
            (_, Ok(written)) => {
                let written = call.core.presented_one(resource, written).await?;
                let bytes = encode::one(resource, call.form, &written)?;
                return Ok(warn(body::json_bytes(code, bytes), &configuration.warnings));
            }
            // Somebody else made it, or took it away: what is to be done is another thing now.
            (StatusCode::CREATED, Err(error)) if error.reason == "AlreadyExists" && !target.dry_run => {}
            (StatusCode::OK, Err(error))
                if error.code == StatusCode::NOT_FOUND && call.core.memory().get(&target.key_of(name)).is_none() => {}
            (_, Err(error)) => return Err(error),
        }
    }
    Err(ApiError::modified(&resource.subject(name)))
}

/// Checks that an object may be made of an applied configuration, and gives it the name in the URL.
async fn begin(call: &Call, name: &str, new: &mut Value) -> Result<(), ApiError> {
    let (resource, route) = (&call.resource, &call.route);
    let action = Action::Resource(ResourceAction {
        verb: "create",
        group: &route.group,
        version: &route.version,
        resource: &route.resource,
        subresource: "",
        namespace: &call.namespace,
        name,
        selectors: Selectors::default(),
    });
    let decision = call.core.authorizer.decide(&call.user, &action).await;
    if !decision.is_allowed() {
        return Err(ApiError::forbidden(&resource.subject(name), &refusal(&call.user, &action, decision.reason())));
    }
    let given = object::text(new, "name");
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let uid = object::text(new, "uid");
    if !uid.is_empty() {
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(ApiError::conflict(&resource.subject(name), &why));
    }
    let metadata = object::metadata(new);
    metadata.insert("name".to_owned(), name.into());
    // A version of what is not there is a version that is gone.
    if metadata.get("resourceVersion").and_then(Value::as_str).is_some_and(|version| !version.is_empty()) {
        return Err(ApiError::modified(&resource.subject(name)));
    }
    Ok(())
}
