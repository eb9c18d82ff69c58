//! Kinds that are questions: they are answered at once and never stored.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::decode::{self, FieldValidation};
use crate::identity::User;
use crate::negotiate;
use crate::status::ApiError;
use crate::subresource::bind;

mod access;

pub(crate) async fn answer(call: &Call, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let format = negotiate::body_format(&call.headers)?;
    let bytes = body::read(&call.headers, body).await?;
    let validation = FieldValidation::parse(&call.query)?;
    let mut review = decode::object(&call.resource, decode::parse(&bytes, format)?, validation, &mut Vec::new())?;
    if call.resource.declaration.namespaced {
        let given = crate::object::text(&review, "namespace");
        if !given.is_empty() && given != call.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        crate::object::metadata(&mut review).insert("namespace".to_owned(), call.namespace.as_str().into());
    }
    let target = call.target();
    call.core.admit(&target.context(&call.core, Operation::Create, "", None), &mut review).await?;
    let errors = call.resource.declaration.strategy.validate(&review);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&call.resource.subject_by_kind(""), &errors));
    }
    let status = match &*call.resource.storage {
        "authentication.k8s.io/selfsubjectreviews" => json!({"userInfo": user_value(&call.user)}),
        "authentication.k8s.io/tokenreviews" => token(call, &review).await?,
        "authorization.k8s.io/selfsubjectaccessreviews" => access::of_self(call, &review).await?,
        "authorization.k8s.io/selfsubjectrulesreviews" => access::rules(call, &review)?,
        "authorization.k8s.io/localsubjectaccessreviews" | "authorization.k8s.io/subjectaccessreviews" => {
            access::of_subject(call, &review).await?
        }
        "core/bindings" => return pod_binding(call, &review).await,
        _ => return Err(ApiError::no_route()),
    };
    review["status"] = status;
    Ok(body::json(StatusCode::CREATED, &review))
}

/// POST to `bindings`: the older way to bind a pod; the binding's name is the pod's.
async fn pod_binding(call: &Call, binding: &Value) -> Result<Response<ResponseBody>, ApiError> {
    let pods = call.core.registry.stored("", "pods").ok_or_else(ApiError::no_route)?;
    let target = crate::write::Target { resource: &pods, ..call.target() };
    bind(&call.core, &target, crate::object::text(binding, "name"), binding).await?;
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(body::json(StatusCode::CREATED, &status))
}

fn user_value(user: &User) -> Value {
    let mut value = Map::from_iter([
        ("username".to_owned(), Value::from(user.name.as_str())),
        ("groups".to_owned(), json!(user.groups)),
    ]);
    if !user.uid.is_empty() {
        value.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        value.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(value)
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

async fn token(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = strings(&review["spec"]["audiences"]);
    Ok(match call.core.by_token(token, &audiences).await {
        Some((user, audiences)) => {
            json!({"authenticated": true, "user": user_value(&user), "audiences": audiences})
        }
        None => json!({"authenticated": false, "user": {}, "error": "the token is not valid for this cluster"}),
    })
}
