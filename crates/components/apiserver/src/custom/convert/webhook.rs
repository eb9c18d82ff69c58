//! Conversion by webhook: `apiextensions.k8s.io/v1 ConversionReview`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::core::Core;
use crate::kubeconfig::Credentials;
use crate::status::ApiError;
use crate::webhook::{CallError, Endpoint};

/// How long a webhook may take, as upstream gives it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Objects sent at once.
const BATCH_MAX: usize = 500;
/// What is understood here.
const REVIEW: &str = "apiextensions.k8s.io/v1";

/// A conversion webhook.
pub(crate) struct Webhook {
    endpoint: Result<Endpoint, CallError>,
    understands: bool,
}

impl Webhook {
    /// Reads `spec.conversion.webhook`.
    pub(crate) fn new(config: &Value) -> Self {
        let versions = config["conversionReviewVersions"].as_array().into_iter().flatten();
        Self {
            endpoint: Endpoint::of_client_config(&config["clientConfig"], &Credentials::default()),
            understands: versions.into_iter().any(|version| version == "v1"),
        }
    }

    /// Converts those of `objects` that are not of `api_version` yet.
    pub(crate) async fn convert(
        &self,
        core: &Core,
        kind: &str,
        mut objects: Vec<Value>,
        api_version: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let wanted: Vec<usize> =
            (0..objects.len()).filter(|index| objects[*index]["apiVersion"] != api_version).collect();
        for batch in wanted.chunks(BATCH_MAX) {
            let given: Vec<&Value> = batch.iter().map(|index| &objects[*index]).collect();
            let from = given.first().map_or("", |object| object["apiVersion"].as_str().unwrap_or_default()).to_owned();
            let failed = |why: &dyn std::fmt::Display| {
                ApiError::internal(format!("conversion webhook for {from}, Kind={kind} failed: {why}"))
            };
            if !self.understands {
                return Err(failed(&"no supported conversion review versions"));
            }
            let uid = uuid::Uuid::new_v4().to_string();
            let review = json!({
                "kind": "ConversionReview", "apiVersion": REVIEW,
                "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": given},
            });
            let endpoint = self.endpoint.as_ref().map_err(|error| failed(error))?;
            let answer = endpoint.post(core.memory(), review.to_string().into(), TIMEOUT).await;
            let answer = answer.map_err(|error| failed(&error))?;
            let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(&error))?;
            if answer["apiVersion"] != REVIEW || answer["kind"] != "ConversionReview" {
                return Err(failed(&format!(
                    "expected webhook response of {REVIEW}, Kind=ConversionReview, got {}, Kind={}",
                    answer["apiVersion"].as_str().unwrap_or_default(),
                    answer["kind"].as_str().unwrap_or_default()
                )));
            }
            let response = &mut answer["response"];
            if response["uid"] != *uid {
                return Err(failed(&format!("expected response.uid={uid:?}, got {}", response["uid"])));
            }
            if response["result"]["status"] != "Success" {
                let message = response["result"]["message"].as_str().unwrap_or_default();
                let message = if message.is_empty() { "response.result.status was not \"Success\"" } else { message };
                return Err(failed(&message));
            }
            let converted = match response["convertedObjects"].take() {
                Value::Array(converted) => converted,
                _ => Vec::new(),
            };
            if converted.len() != batch.len() {
                let from = format!("{from}, Kind={kind}");
                return Err(ApiError::internal(format!(
                    "conversion webhook for {from} returned {} objects, expected {}",
                    converted.len(),
                    batch.len()
                )));
            }
            for (place, mut new) in batch.iter().zip(converted) {
                let old = &objects[*place];
                accept(old, &mut new, api_version).map_err(|why| {
                    ApiError::internal(format!("conversion webhook for {from}, Kind={kind} returned invalid {why}"))
                })?;
                objects[*place] = new;
            }
        }
        Ok(objects)
    }
}

/// A conversion may change labels and annotations of the metadata, and nothing that says which object it is.
fn accept(old: &Value, new: &mut Value, api_version: &str) -> Result<(), String> {
    if new["apiVersion"] != api_version {
        return Err(format!("object: expected apiVersion {api_version}, got {}", new["apiVersion"]));
    }
    if new["kind"] != old["kind"] {
        return Err(format!("object: expected kind {}, got {}", old["kind"], new["kind"]));
    }
    let Value::Object(given) = &new["metadata"] else {
        return Err("metadata: missing metadata".to_owned());
    };
    for (key, word) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (had, has) = (&old["metadata"][key], given.get(key).unwrap_or(&Value::Null));
        if had != has {
            return Err(format!("metadata: must have the same {word}: {} != {}", shown(has), shown(had)));
        }
    }
    let mut metadata = old["metadata"].clone();
    for key in ["labels", "annotations"] {
        match given.get(key) {
            Some(value) if value.is_object() => metadata[key] = value.clone(),
            _ => {
                if let Value::Object(fields) = &mut metadata {
                    fields.remove(key);
                }
            }
        }
    }
    new["metadata"] = metadata;
    Ok(())
}

fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
