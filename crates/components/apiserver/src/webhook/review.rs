//! Asking a webhook by a review: an object goes out, and comes back with a status.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use minato_mvcc::Memory;

use super::{CallError, Endpoint};

/// How often a webhook that does not answer is asked, and how long between the first two (upstream's default).
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the webhook's answer is not {0} with a status")]
    Answer(&'static str),
    #[error("no verdict within {0:?}")]
    Timeout(Duration),
}

impl Endpoint {
    /// The status of `review`, whose kind is `kind`, as the webhook fills it in within `limit`, over all attempts.
    pub(crate) async fn review(
        &self,
        memory: &Memory,
        kind: &'static str,
        review: &Value,
        limit: Duration,
    ) -> Result<Value, ReviewError> {
        match tokio::time::timeout(limit, self.ask(memory, kind, review, limit)).await {
            Ok(answered) => answered,
            Err(_) => Err(ReviewError::Timeout(limit)),
        }
    }

    async fn ask(
        &self,
        memory: &Memory,
        kind: &'static str,
        review: &Value,
        limit: Duration,
    ) -> Result<Value, ReviewError> {
        let body = Bytes::from(review.to_string());
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let again = match self.post(memory, body.clone(), limit).await {
                Ok(answer) => return status(kind, review, &answer),
                Err(CallError::Status { code, message }) if code != 429 && code < 500 => {
                    return Err(CallError::Status { code, message }.into());
                }
                Err(error) => error,
            };
            if attempt == ATTEMPTS {
                return Err(again.into());
            }
            tracing::debug!(kind, error = %again, "a webhook is asked again");
            tokio::time::sleep(wait).await;
            wait = wait.mul_f32(1.5);
        }
        Err(ReviewError::Timeout(limit))
    }
}

fn status(kind: &'static str, review: &Value, answer: &[u8]) -> Result<Value, ReviewError> {
    let mut answer: Value = serde_json::from_slice(answer).map_err(|_| ReviewError::Answer(kind))?;
    if answer["kind"] != kind || answer["apiVersion"] != review["apiVersion"] || !answer["status"].is_object() {
        return Err(ReviewError::Answer(kind));
    }
    Ok(answer["status"].take())
}
