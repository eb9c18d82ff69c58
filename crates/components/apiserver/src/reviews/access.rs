//! Access reviews: may somebody do something, and what may they do.

use serde_json::{Value, json};

use super::strings;
use crate::authorize::{
    Action, Decision, ResourceAction, Selector, SelectorRequirement, Selectors, parse_fields, parse_labels,
};
use crate::call::Call;
use crate::identity::{User, UserInfo};
use crate::status::ApiError;

/// SelfSubjectAccessReview.
pub(super) async fn of_self(call: &Call, review: &Value) -> Result<Value, ApiError> {
    decide(call, &call.user, &review["spec"]).await
}

/// SubjectAccessReview, and LocalSubjectAccessReview, which is about one namespace.
pub(super) async fn of_subject(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups = strings(&spec["groups"]);
    let extra = spec["extra"].as_object().into_iter().flatten();
    // A review asks about exactly the groups that it names.
    let user = User::exactly(UserInfo {
        name,
        groups,
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        extra: extra.map(|(key, values)| (key.clone(), strings(values))).collect(),
        ..UserInfo::default()
    });
    decide(call, &user, spec).await
}

/// SelfSubjectRulesReview.
pub(super) fn rules(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let rules = call.core.authorizer.rules(&call.user, namespace);
    let non_resource: Vec<Value> = rules
        .iter()
        .filter(|rule| !rule.non_resource_urls.is_empty())
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let resource: Vec<Value> = rules.iter().filter(|rule| !rule.resources.is_empty()).map(|rule| json!(rule)).collect();
    Ok(json!({"resourceRules": resource, "nonResourceRules": non_resource, "incomplete": false}))
}

async fn decide(call: &Call, user: &User, spec: &Value) -> Result<Value, ApiError> {
    let (attributes, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |key: &str| attributes[key].as_str().unwrap_or_default();
    let (fields, labels) = (Asked::of(attributes, "fieldSelector"), Asked::of(attributes, "labelSelector"));
    let mut problems = Vec::new();
    let fields = fields.requirements(parse_fields, &mut problems);
    let labels = labels.requirements(parse_labels, &mut problems);
    let action = if attributes.is_null() {
        let text = |key: &str| path[key].as_str().unwrap_or_default();
        Action::Path { verb: text("verb"), path: text("path") }
    } else {
        let selector = |requirements: &'_ [SelectorRequirement]| !requirements.is_empty();
        Action::Resource(ResourceAction {
            verb: text("verb"),
            group: text("group"),
            version: text("version"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            selectors: Selectors {
                field: if selector(&fields) { Selector::Parsed(&fields) } else { Selector::None },
                label: if selector(&labels) { Selector::Parsed(&labels) } else { Selector::None },
            },
        })
    };
    let decision = call.core.authorizer.decide(user, &action).await;
    let mut status = json!({"allowed": decision.is_allowed()});
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = true.into();
    }
    if !decision.reason().is_empty() {
        status["reason"] = decision.reason().into();
    }
    if !problems.is_empty() {
        status["evaluationError"] = problems.join(", ").into();
    }
    Ok(status)
}

/// A selector of a review, in one of its two forms.
enum Asked<'a> {
    Nothing,
    Raw(&'a str),
    Requirements(&'a Value),
}

impl<'a> Asked<'a> {
    fn of(attributes: &'a Value, field: &str) -> Self {
        match (&attributes[field]["rawSelector"], &attributes[field]["requirements"]) {
            (Value::String(raw), _) if !raw.is_empty() => Self::Raw(raw),
            (_, requirements @ Value::Array(_)) => Self::Requirements(requirements),
            _ => Self::Nothing,
        }
    }

    /// What cannot be understood limits nothing, and is told.
    fn requirements(
        &self,
        parse: fn(&str) -> Option<Vec<SelectorRequirement>>,
        problems: &mut Vec<String>,
    ) -> Vec<SelectorRequirement> {
        let parsed = match self {
            Self::Nothing => return Vec::new(),
            Self::Raw(text) => parse(text).ok_or_else(|| format!("unable to parse selector {text:?}")),
            Self::Requirements(list) => {
                serde_json::from_value((*list).clone()).map_err(|error| format!("invalid requirements: {error}"))
            }
        };
        parsed.unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        })
    }
}
