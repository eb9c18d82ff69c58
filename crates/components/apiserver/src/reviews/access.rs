//! Access reviews: may somebody do something, and what may they do.

use minato_kinds::{FieldError, FieldErrorKind, FieldPath};
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
    let mut errors = Errors::default();
    attributes(&review["spec"], &mut errors);
    errors.into_result(call)?;
    decide(call, &call.user, &review["spec"]).await
}

/// SubjectAccessReview.
pub(super) async fn of_subject(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let mut errors = Errors::default();
    attributes(spec, &mut errors);
    let name = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups = strings(&spec["groups"]);
    if name.is_empty() && groups.is_empty() {
        errors.invalid("spec.user", "".into(), "at least one of user or group must be specified");
    }
    errors.into_result(call)?;
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

/// LocalSubjectAccessReview.
pub(super) async fn of_subject_here(call: &Call, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let mut errors = Errors::default();
    let asked = spec["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
    if asked != call.namespace {
        errors.invalid("spec.resourceAttributes.namespace", asked.into(), "must match metadata.namespace");
    }
    if !spec["nonResourceAttributes"].is_null() {
        let given = spec["nonResourceAttributes"].clone();
        errors.invalid("spec.nonResourceAttributes", given, "disallowed on this kind of request");
    }
    errors.into_result(call)?;
    of_subject(call, review).await
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

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, path: &str, kind: FieldErrorKind, value: Value, detail: &str) {
        self.0.push(FieldError { path: FieldPath::new(path), kind, value, detail: detail.to_owned() });
    }

    fn invalid(&mut self, path: &str, value: Value, detail: &str) {
        self.add(path, FieldErrorKind::Invalid, value, detail);
    }

    fn into_result(self, call: &Call) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&call.resource.subject_by_kind(""), &self.0))
    }
}

fn attributes(spec: &Value, errors: &mut Errors) {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if !resource.is_null() && !path.is_null() {
        let detail = "cannot be specified in combination with resourceAttributes";
        errors.invalid("spec.nonResourceAttributes", path.clone(), detail);
    }
    if resource.is_null() && path.is_null() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.invalid("spec.resourceAttributes", Value::Null, detail);
    }
    for field in ["fieldSelector", "labelSelector"] {
        if !resource[field].is_null() {
            selector(&resource[field], &format!("spec.resourceAttributes.{field}"), errors);
        }
    }
}

fn selector(selector: &Value, at: &str, errors: &mut Errors) {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    let requirements = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !raw.is_empty() && !requirements.is_empty() {
        let detail = "may not specified at the same time as requirements";
        errors.invalid(&format!("{at}.rawSelector"), raw.into(), detail);
    }
    if raw.is_empty() && requirements.is_empty() {
        let detail = format!("when {at} is specified, requirements or rawSelector is required");
        errors.add(&format!("{at}.requirements"), FieldErrorKind::Required, "".into(), &detail);
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let at = format!("{at}.requirements[{index}]");
        let has_values = requirement["values"].as_array().is_some_and(|values| !values.is_empty());
        if requirement["key"].as_str().is_none_or(str::is_empty) {
            errors.add(&format!("{at}.key"), FieldErrorKind::Required, "".into(), "must be specified");
        }
        let values = format!("{at}.values");
        match requirement["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if !has_values => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.add(&values, FieldErrorKind::Required, "".into(), detail);
            }
            "Exists" | "DoesNotExist" if has_values => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.add(&values, FieldErrorKind::Forbidden, "".into(), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&format!("{at}.operator"), other.into(), "not a valid selector operator"),
        }
    }
}
