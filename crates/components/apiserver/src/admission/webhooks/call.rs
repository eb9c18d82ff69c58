//! One call of one webhook: the question as JSON, and the answer checked.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::Context;
use super::super::matching::{Seen, request};
use super::Webhook;
use super::review::Answer;
use crate::status::ApiError;

impl Webhook {
    /// Asks the webhook; an error is what stands behind `failed calling webhook "x": `.
    pub(super) async fn call(&self, context: &Context<'_>, seen: &Seen, object: &Value) -> Result<Answer, String> {
        let endpoint = self.endpoint.as_ref().map_err(|error| format!("failed to get client: {error}"))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let body = self.question(context, seen, object, &uid).await.map_err(|error| error.message)?;
        let answer = endpoint
            .post(context.memory, body, self.limit)
            .await
            .map_err(|error| format!("failed to call webhook: {error}"))?;
        let review: Value = serde_json::from_slice(&answer)
            .map_err(|error| format!("failed to call webhook: couldn't get version/kind; json parse error: {error}"))?;
        Answer::read(&review, self.version, &uid)
    }

    /// The `AdmissionReview` that is sent; objects go into it as they are, without a copy of their values.
    async fn question(&self, context: &Context<'_>, seen: &Seen, object: &Value, uid: &str) -> Result<Bytes, ApiError> {
        let mut fields = request(context, seen);
        fields.insert("uid".to_owned(), uid.into());
        let head = json!(format!("admission.k8s.io/{}", self.version)).to_string();
        let request = Value::Object(fields).to_string();
        let shown = seen.convert(context, object).await?;
        let old = seen.convert_some(context, context.old).await?;
        let old = old.as_ref().or(context.old).map(Value::to_string);
        let mut text = format!("{{\"kind\":\"AdmissionReview\",\"apiVersion\":{head},\"request\":");
        // The request's own closing bracket comes behind the objects.
        text.push_str(request.strip_suffix('}').unwrap_or(&request));
        text.push_str(",\"object\":");
        text.push_str(&shown.as_ref().unwrap_or(object).to_string());
        text.push_str(",\"oldObject\":");
        text.push_str(old.as_deref().unwrap_or("null"));
        text.push_str("}}");
        Ok(Bytes::from(text))
    }
}
