//! Kinds that are questions: they are answered at once and never stored.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::admission::Operation;
use crate::body::{self, RequestBody, ResponseBody};
use crate::call::Call;
use crate::decode::{self, FieldValidation};
use crate::identity::{User, UserInfo};
use crate::negotiate;
use crate::rbac::{Action, ResourceAction, Rule};
use crate::status::ApiError;
use crate::subresource::bind;

/// Answers one kind of question: sets `status` of the review.
type Answer = fn(&Call, &mut Value) -> Result<(), ApiError>;

/// Every review, by storage name.
const REVIEWS: &[(&str, Answer)] = &[
    ("authentication.k8s.io/selfsubjectreviews", self_subject),
    ("authentication.k8s.io/tokenreviews", token),
    ("authorization.k8s.io/localsubjectaccessreviews", local_subject_access),
    ("authorization.k8s.io/selfsubjectaccessreviews", self_subject_access),
    ("authorization.k8s.io/selfsubjectrulesreviews", self_subject_rules),
    ("authorization.k8s.io/subjectaccessreviews", subject_access),
];

pub(crate) async fn answer(call: &Call, body: RequestBody) -> Result<Response<ResponseBody>, ApiError> {
    let format = negotiate::body_format(&call.headers)?;
    let bytes = body::read(&call.headers, body).await?;
    let validation = FieldValidation::parse(&call.query)?;
    let mut review = decode::object(&call.resource, decode::parse(&bytes, format)?, validation, &mut Vec::new())?;
    let storage = &*call.resource.storage;
    let target = call.target();
    call.core.admit(&target.context(&call.core, Operation::Create, "", None), &mut review).await?;
    if let Some((_, answer)) = REVIEWS.iter().find(|(name, _)| *name == storage) {
        answer(call, &mut review)?;
        return Ok(body::json(StatusCode::CREATED, &review));
    }
    if storage == "core/bindings" {
        return pod_binding(call, &review).await;
    }
    Err(ApiError::no_route())
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

fn self_subject(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    review["status"] = json!({"userInfo": user_value(&call.user)});
    Ok(())
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn token(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = strings(&review["spec"]["audiences"]);
    review["status"] = match call.core.authenticate_token(&token, &audiences) {
        Some((user, audiences)) => {
            json!({"authenticated": true, "user": user_value(&user), "audiences": audiences})
        }
        None => json!({"authenticated": false, "user": {}, "error": "the token is not valid for this cluster"}),
    };
    Ok(())
}

fn self_subject_access(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    review["status"] = access(call, &call.user, &review["spec"])?;
    Ok(())
}

fn subject_access(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    let spec = &review["spec"];
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups = strings(&spec["groups"]);
    if name.is_empty() && groups.is_empty() {
        return Err(ApiError::unprocessable(
            "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ));
    }
    // A review asks about exactly the groups that it names.
    let user = User::exactly(UserInfo { name, groups, ..UserInfo::default() });
    review["status"] = access(call, &user, spec)?;
    Ok(())
}

fn local_subject_access(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    let asked = review["spec"]["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
    if asked != call.namespace {
        return Err(ApiError::unprocessable(format!(
            "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: {asked:?}: must match metadata.namespace"
        )));
    }
    subject_access(call, review)
}

fn access(call: &Call, user: &User, spec: &Value) -> Result<Value, ApiError> {
    let attributes = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    if attributes.is_null() == path.is_null() {
        return Err(ApiError::unprocessable(format!(
            "{}.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified",
            call.resource.declaration.kind
        )));
    }
    let text = |value: &'static str| attributes[value].as_str().unwrap_or_default();
    let action = if attributes.is_null() {
        Action::Path {
            verb: path["verb"].as_str().unwrap_or_default(),
            path: path["path"].as_str().unwrap_or_default(),
        }
    } else {
        Action::Resource(ResourceAction {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
        })
    };
    Ok(json!({"allowed": call.core.authorizer.allows(user, &action)}))
}

fn self_subject_rules(call: &Call, review: &mut Value) -> Result<(), ApiError> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let rules = call.core.authorizer.rules(&call.user, namespace);
    let paths = |rule: &&Rule| !rule.non_resource_urls.is_empty();
    let non_resource: Vec<Value> = rules
        .iter()
        .filter(paths)
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let resource: Vec<Value> = rules.iter().filter(|rule| !rule.resources.is_empty()).map(|rule| json!(rule)).collect();
    review["status"] = json!({"resourceRules": resource, "nonResourceRules": non_resource, "incomplete": false});
    Ok(())
}
