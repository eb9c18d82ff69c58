//! `scale`: the number of replicas as an `autoscaling/v1` Scale, the same for every kind that has one.

use http::{Response, StatusCode};
use minato_kinds::ScalePaths;
use minato_select::LabelSelector;
use serde_json::{Value, json};

use super::body_of;
use crate::admission::Operation;
use crate::apply::Configuration;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::decode;
use crate::encode;
use crate::negotiate;
use crate::options;
use crate::patch::Patch;
use crate::status::ApiError;
use crate::write::{Target, UpdateKind};

const SCALE: (&str, &str, &str) = ("autoscaling", "v1", "Scale");

pub(super) async fn answer(call: &Call, name: &str, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let paths = &call.resource.declaration.scale;
    let shown = match call.verb {
        "get" => {
            let key = call.target().key_of(name);
            let object = call.core.memory().get(&key).ok_or_else(|| call.resource.not_found(name))?;
            call.core.working(&call.resource, &object).await?
        }
        "update" => {
            let scale = body_of(call, body, SCALE).await?;
            write(call, name, paths, &|_| Ok(scale.clone())).await?
        }
        _ if negotiate::media_type(&call.headers) == options::APPLY => apply(call, name, paths, body).await?,
        _ => {
            let patch = Patch::read(call, body).await?;
            let change = |old: &Value| {
                let current = of(old, paths);
                let mut scale = current.clone();
                patch.apply(&mut scale, minato_schema::builtin(SCALE.0, SCALE.1, SCALE.2))?;
                decode::check_kind(&mut scale, "autoscaling/v1", "Scale")?;
                if !names_version(&patch, current) {
                    crate::object::metadata(&mut scale).remove("resourceVersion");
                }
                Ok(scale)
            };
            write(call, name, paths, &change).await?
        }
    };
    Ok(body::json(StatusCode::OK, &encode::unstored(call.form, (SCALE.0, SCALE.2), of(&shown, paths))))
}

async fn write(
    call: &Call,
    name: &str,
    paths: &ScalePaths,
    scale: &(dyn Fn(&Value) -> Result<Value, ApiError> + Send + Sync),
) -> Result<Value, ApiError> {
    let target = call.target();
    let key = target.key_of(name);
    let current = call.core.memory().get(&key).ok_or_else(|| call.resource.not_found(name))?;
    let current = call.core.working(&call.resource, &current).await?;
    // Admission sees the Scale, not the object behind it.
    let mut wanted = scale(&current)?;
    let old_scale = of(&current, paths);
    call.core.admit(&target.context(&call.core, Operation::Update, name, Some(&old_scale)), &mut wanted).await?;
    let target = Target { admitted: true, ..target };
    let mut change = |old: &Value| {
        let scale = &wanted;
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        check(name, replicas)?;
        let mut new = old.clone();
        set(&mut new, &paths.spec_replicas, replicas.into());
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() {
            new["metadata"]["resourceVersion"] = version.into();
        }
        Ok(new)
    };
    let written = call.core.update(&target, name, UpdateKind::Object, &mut change).await?;
    call.core.working(&call.resource, &written).await
}

/// Whether a patch of `scale` says itself which version it is for; one that does not holds for a later version as well.
fn names_version(patch: &Patch, mut scale: Value) -> bool {
    const UNSAID: &str = "unsaid";
    scale["metadata"]["resourceVersion"] = UNSAID.into();
    patch.apply(&mut scale, minato_schema::builtin(SCALE.0, SCALE.1, SCALE.2)).is_err()
        || scale["metadata"]["resourceVersion"] != UNSAID
}

/// Applies a Scale: its manager owns the number in the object behind it.
async fn apply(call: &Call, name: &str, paths: &ScalePaths, body: RequestBody) -> Result<Value, ApiError> {
    let configuration = Configuration::read(call, body).await?;
    let mut scale = configuration.value.clone();
    decode::check_kind(&mut scale, "autoscaling/v1", "Scale")?;
    let resource = &call.resource;
    let target = Target { field_manager: "", ..call.target() };
    let key = target.key_of(name);
    let current = call.core.memory().get(&key).ok_or_else(|| resource.not_found(name))?;
    let current = call.core.working(resource, &current).await?;
    let old_scale = of(&current, paths);
    call.core.admit(&target.context(&call.core, Operation::Update, name, Some(&old_scale)), &mut scale).await?;
    let target = Target { admitted: true, ..target };
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    check(name, replicas)?;
    let mut wanted = json!({
        "apiVersion": resource.api_version, "kind": resource.declaration.kind, "metadata": scale["metadata"],
    });
    set(&mut wanted, &paths.spec_replicas, replicas.into());
    let mut change = |old: &Value| configuration.apply(call, UpdateKind::Object, Some(old), wanted.clone());
    let written = call.core.update(&target, name, UpdateKind::Object, &mut change).await?;
    call.core.working(resource, &written).await
}

fn check(name: &str, replicas: i64) -> Result<(), ApiError> {
    if replicas >= 0 {
        return Ok(());
    }
    let error = minato_kinds::FieldError {
        path: minato_kinds::FieldPath::new("spec.replicas"),
        kind: minato_kinds::FieldErrorKind::Invalid,
        value: replicas.into(),
        detail: "must be greater than or equal to 0".to_owned(),
    };
    let subject = crate::status::Subject { group: SCALE.0, resource: SCALE.2, name };
    Err(ApiError::invalid(&subject, &[error]))
}

/// The Scale that describes `object`.
fn of(object: &Value, paths: &ScalePaths) -> Value {
    let metadata = &object["metadata"];
    let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let metadata: serde_json::Map<String, Value> = kept
        .iter()
        .filter(|key| !metadata[**key].is_null())
        .map(|key| ((*key).to_owned(), metadata[*key].clone()))
        .collect();
    let selector = at(object, &paths.label_selector);
    let parsed = match selector {
        Value::Object(map) if map.values().all(Value::is_string) && !map.is_empty() => {
            LabelSelector::from_object(&json!({"matchLabels": selector})).ok()
        }
        // The path of a custom kind may be empty, which is the object itself.
        Value::Object(_) if !paths.label_selector.is_empty() => LabelSelector::from_object(selector).ok(),
        // A custom kind keeps its selector as it is written here.
        Value::String(written) => LabelSelector::parse(written).ok(),
        _ => None,
    };
    let mut status = json!({"replicas": at(object, &paths.status_replicas).as_i64().unwrap_or(0)});
    if let Some(selector) = parsed {
        status["selector"] = selector.to_string().into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": at(object, &paths.spec_replicas).as_i64().unwrap_or(0)}, "status": status,
    })
}

/// The value at a path such as `.spec.replicas`.
fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|part| !part.is_empty()).fold(object, |value, part| &value[part])
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}
