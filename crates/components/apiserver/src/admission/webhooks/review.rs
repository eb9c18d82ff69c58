//! What webhooks answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::Context;
use super::super::matching::Seen;
use super::Webhook;
use crate::decode::{self, FieldValidation, Parsed};
use crate::status::ApiError;

/// Characters of one warning, and of all warnings of an answer, that go on to the user.
const WARNING_CHARACTERS_MAX: usize = 256;
const WARNINGS_CHARACTERS_MAX: usize = 4096;

/// A checked `AdmissionResponse`.
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// A JSON patch.
    pub(super) patch: Option<Vec<u8>>,
    status: Value,
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
}

impl Answer {
    pub(super) fn read(review: &Value, version: &str, uid: &str) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let response = &review["response"];
        if version == "v1" {
            let (found, kind) = (text(&review["apiVersion"]), text(&review["kind"]));
            if found != "admission.k8s.io/v1" || kind != "AdmissionReview" {
                let found = if found.contains('/') || found.is_empty() { found } else { format!("/{found}") };
                let found = if found.is_empty() { "/".to_owned() } else { found };
                return Err(format!(
                    "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {found}, Kind={kind}"
                ));
            }
            if response.is_object() && text(&response["uid"]) != uid {
                return Err(format!("expected response.uid={uid:?}, got {:?}", text(&response["uid"])));
            }
        }
        if !response.is_object() {
            return Err("webhook response was absent".to_owned());
        }
        let patch = text(&response["patch"]);
        let patch_type = text(&response["patchType"]);
        let patch = match (patch.is_empty(), patch_type.as_str()) {
            (true, "") => None,
            (true, _) if version == "v1" => {
                return Err("webhook returned response.patchType but not response.patch".to_owned());
            }
            (true, _) => None,
            (false, "") if version == "v1" => {
                return Err("webhook returned response.patch but not response.patchType".to_owned());
            }
            (false, "JSONPatch" | "") => Some(
                STANDARD.decode(&patch).map_err(|error| format!("illegal base64 data in response.patch: {error}"))?,
            ),
            (false, other) => return Err(format!("invalid value of response.patchType: {other:?}")),
        };
        let annotations = response["auditAnnotations"].as_object().into_iter().flatten();
        Ok(Self {
            allowed: response["allowed"] == true,
            patch,
            status: response["status"].clone(),
            warnings: response["warnings"].as_array().into_iter().flatten().map(text).collect(),
            annotations: annotations.map(|(key, value)| (key.clone(), text(value))).collect(),
        })
    }

    /// Passes warnings on to the user and annotations to the audit log.
    pub(super) fn remark(&self, webhook: &Webhook, context: &Context<'_>) {
        let remarks = context.target.remarks;
        let mut left = WARNINGS_CHARACTERS_MAX;
        for warning in &self.warnings {
            let short: String = warning.chars().take(WARNING_CHARACTERS_MAX.min(left)).collect();
            left -= short.chars().count();
            if !short.is_empty() {
                remarks.warn(short);
            }
        }
        for (key, value) in &self.annotations {
            remarks.annotate(format!("{}/{key}", webhook.name), value.as_str());
        }
    }

    /// The refusal, with code and reason as the webhook wants them.
    pub(super) fn denial(&self, name: &str) -> ApiError {
        let text = |key: &str| self.status[key].as_str().filter(|text| !text.is_empty());
        let denied = format!("admission webhook {name:?} denied the request");
        let message = match text("message").or(text("reason")) {
            Some(why) => format!("{denied}: {why}"),
            None => format!("{denied} without explanation"),
        };
        let code = self.status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        ApiError::denied(
            code.unwrap_or(0),
            text("reason").unwrap_or_default(),
            message,
            self.status["details"].as_object(),
        )
    }
}

/// Applies a webhook's patch to the version that it saw; says whether anything changed.
pub(super) async fn apply(
    context: &Context<'_>,
    seen: &Seen,
    object: &mut Value,
    patch: &[u8],
) -> Result<bool, String> {
    if object.is_null() {
        return Err(
            "admission webhook attempted to modify the object, which is not supported for this operation".to_owned()
        );
    }
    let shown = seen.convert(context, object).await.map_err(|error| error.message)?;
    let mut patched = shown.unwrap_or_else(|| object.clone());
    minato_patch::json_patch(&mut patched, patch).map_err(|error| error.to_string())?;
    let patched = restore(context, seen, patched).await.map_err(|error| error.message)?;
    let changed = patched != *object;
    *object = patched;
    Ok(changed)
}

/// Brings an object that admission has changed to its shape, the version that is worked on and its defaults.
pub(in super::super) async fn restore(
    context: &Context<'_>,
    seen: &Seen,
    mut object: Value,
) -> Result<Value, ApiError> {
    let resource = seen.resource(context);
    let (group, version, kind) = context.kind();
    if *kind == *resource.declaration.kind {
        let mut object = decode::object(resource, object.into(), FieldValidation::Ignore, &mut Vec::new())?;
        resource.declaration.default(&mut object);
        return match seen {
            Seen::Equivalent(_) => context.core.between(context.target.resource, object).await,
            Seen::Requested => Ok(object),
        };
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    decode::check_kind(&mut object, &api_version, kind)?;
    let schema = minato_schema::builtin(group, version, kind);
    let mut parsed = Parsed::from(object);
    decode::conform(schema, &mut parsed, FieldValidation::Ignore, &mut Vec::new())?;
    Ok(parsed.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn review(response: &Value) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    #[test]
    fn answers_are_checked() {
        let error = |review: &Value| Answer::read(review, "v1", "1").err().unwrap_or_default();
        for (review, expected) in [
            (json!({}), "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="),
            (review(&Value::Null), "webhook response was absent"),
            (review(&json!({"uid": "2"})), "expected response.uid=\"1\", got \"2\""),
            (
                review(&json!({"uid": "1", "allowed": true, "patch": "W10="})),
                "webhook returned response.patch but not response.patchType",
            ),
            (
                review(&json!({"uid": "1", "patch": "W10=", "patchType": "Other"})),
                "invalid value of response.patchType: \"Other\"",
            ),
        ] {
            assert_eq!(error(&review), expected);
        }
        assert!(
            error(&review(&json!({"uid": "1", "patch": "!", "patchType": "JSONPatch"}))).starts_with("illegal base64")
        );
        assert_eq!(
            error(&review(&json!({"uid": "1", "allowed": true, "patch": "W10=", "patchType": "JSONPatch"}))),
            ""
        );
    }

    #[test]
    fn denials_say_what_the_webhook_says() {
        let denial = |status: Value| match Answer::read(&review(&json!({"uid": "1", "status": status})), "v1", "1") {
            Ok(answer) => answer.denial("a.b.c"),
            Err(error) => unreachable!("{error}"),
        };
        let plain = denial(Value::Null);
        assert_eq!(plain.message, "admission webhook \"a.b.c\" denied the request without explanation");
        assert_eq!(plain.code.as_u16(), 400);
        let full = denial(json!({"message": "no", "reason": "Forbidden", "code": 403}));
        assert_eq!(full.message, "admission webhook \"a.b.c\" denied the request: no");
        assert_eq!((full.code.as_u16(), &*full.reason), (403, "Forbidden"));
        assert_eq!(denial(json!({"code": 201})).code.as_u16(), 400);
    }
}
