//! Webhooks: other servers that change objects, or judge them.
//!
//! Mutating webhooks are called one after the other, by the names of their configurations; validating ones at once.
//! A webhook that was called and asks for it (`reinvocationPolicy: IfNeeded`) is called once more when something changed
//! the object after it.

mod call;
mod review;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::expressions::{Conditions, Facts, UserAuthorizer, Verdict};
use super::matching::{Matcher, Seen, is_exempt, request};
use super::{Context, Operation};
use crate::kubeconfig::Credentials;
use crate::status::ApiError;
use crate::webhook::{CallError, Endpoint};
pub(super) use review::restore;

/// A webhook of a configuration, ready to be called.
pub(super) struct Webhook {
    configuration: String,
    name: String,
    endpoint: Result<Endpoint, CallError>,
    matcher: Matcher,
    conditions: Conditions,
    /// `failurePolicy: Ignore`
    ignores_failures: bool,
    limit: Duration,
    has_side_effects: bool,
    reinvoked: bool,
    /// The first of `admissionReviewVersions` that is spoken here.
    version: &'static str,
}

impl Webhook {
    pub(super) fn new(configuration: &str, webhook: &Value, credentials: &Credentials) -> Self {
        let versions = webhook["admissionReviewVersions"].as_array().into_iter().flatten();
        let version = versions.filter_map(Value::as_str).find(|version| matches!(*version, "v1" | "v1beta1"));
        Self {
            configuration: configuration.to_owned(),
            name: webhook["name"].as_str().unwrap_or_default().to_owned(),
            endpoint: Endpoint::of_client_config(&webhook["clientConfig"], credentials),
            matcher: Matcher::new(webhook),
            conditions: Conditions::of_webhook(&webhook["matchConditions"]),
            ignores_failures: webhook["failurePolicy"] == "Ignore",
            limit: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30)),
            has_side_effects: !matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")),
            reinvoked: webhook["reinvocationPolicy"] == "IfNeeded",
            version: if version == Some("v1beta1") { "v1beta1" } else { "v1" },
        }
    }

    /// How the webhook is to see the request; none where it is not to be called.
    async fn wants(&self, context: &Context<'_>, object: &Value) -> Result<Option<Seen>, ApiError> {
        let Some(seen) = self.matcher.find(context, object)? else { return Ok(None) };
        if !self.conditions.is_empty() {
            let (shown, old) = (seen.convert(context, object).await?, seen.convert_some(context, context.old).await?);
            let verdict = {
                let object = shown.as_ref().unwrap_or(object);
                let old = old.as_ref().or(context.old).unwrap_or(&Value::Null);
                let request = Value::Object(request(context, &seen));
                let authorizer = UserAuthorizer::new(context);
                let facts = Facts::new((object, old), &request, &authorizer, (&Value::Null, &Value::Null), &[]);
                self.conditions.judge(&facts)
            };
            match verdict {
                Verdict::Matches => {}
                Verdict::Differs => return Ok(None),
                Verdict::Failed(error) if self.ignores_failures => {
                    tracing::warn!(webhook = self.name, error, "match conditions failed, the webhook is not called");
                    return Ok(None);
                }
                Verdict::Failed(error) => {
                    let subject = context.target.resource.subject(context.name);
                    return Err(ApiError::forbidden(&subject, &error));
                }
            }
        }
        if context.target.dry_run && self.has_side_effects {
            return Err(ApiError::bad_request(format!("admission webhook {:?} does not support dry run", self.name)));
        }
        Ok(Some(seen))
    }
}

/// What happened to mutating webhooks in one request: who was called, and whose output was changed since.
#[derive(Default)]
pub(super) struct Rounds {
    called: Vec<Arc<Webhook>>,
    again: Vec<Arc<Webhook>>,
}

impl Rounds {
    /// Something changed the object: who was called before may want to see it again.
    pub(super) fn changed(&mut self) {
        self.again.clone_from(&self.called);
        self.again.retain(|webhook| webhook.reinvoked);
    }

    pub(super) fn wants_another(&self) -> bool {
        !self.again.is_empty()
    }

    fn was_called(&mut self, webhook: &Arc<Webhook>, changed: bool) {
        self.again.retain(|have| !Arc::ptr_eq(have, webhook));
        if changed {
            self.changed();
        }
        if !self.called.iter().any(|have| Arc::ptr_eq(have, webhook)) {
            self.called.push(Arc::clone(webhook));
        }
    }
}

/// Lets the mutating webhooks of `all` change `object`; says whether one did.
pub(super) async fn mutate(
    all: &[Arc<Webhook>],
    context: &Context<'_>,
    object: &mut Value,
    rounds: &mut Rounds,
    round: usize,
) -> Result<bool, ApiError> {
    if is_exempt(context) {
        return Ok(false);
    }
    let mut any = false;
    for (index, webhook) in all.iter().enumerate() {
        if round > 0 && !rounds.again.iter().any(|have| Arc::ptr_eq(have, webhook)) {
            continue;
        }
        let Some(seen) = webhook.wants(context, object).await? else { continue };
        let changed = match webhook.call(context, &seen, object).await {
            Ok(answer) => {
                answer.remark(webhook, context);
                let changed = match answer.patch {
                    _ if !answer.allowed => return Err(answer.denial(&webhook.name)),
                    Some(patch) if context.operation != Operation::Delete => {
                        // Whoever answers with a patch that does not fit is wrong, not absent: `failurePolicy` does not help.
                        review::apply(context, &seen, object, &patch).await.map_err(ApiError::internal)?
                    }
                    _ => false,
                };
                let key = format!("mutation.webhook.admission.k8s.io/round_{round}_index_{index}");
                let value =
                    json!({"configuration": webhook.configuration, "webhook": webhook.name, "mutated": changed});
                context.target.remarks.annotate(key, value.to_string());
                changed
            }
            Err(why) => {
                webhook.failed(
                    context,
                    &why,
                    &format!("failed-open.mutation.webhook.admission.k8s.io/round_{round}_index_{index}"),
                )?;
                false
            }
        };
        any |= changed;
        rounds.was_called(webhook, changed);
    }
    Ok(any)
}

/// Asks all validating webhooks of `all` that are concerned, at once.
pub(super) async fn judge(all: &[Arc<Webhook>], context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
    if is_exempt(context) {
        return Ok(());
    }
    let mut calls = Vec::new();
    for (index, webhook) in all.iter().enumerate() {
        if let Some(seen) = webhook.wants(context, object).await? {
            calls.push(async move {
                match webhook.call(context, &seen, object).await {
                    Ok(answer) => {
                        answer.remark(webhook, context);
                        if answer.allowed { Ok(()) } else { Err(answer.denial(&webhook.name)) }
                    }
                    Err(why) => {
                        let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                        webhook.failed(context, &why, &key)
                    }
                }
            });
        }
    }
    futures::future::join_all(calls).await.into_iter().collect()
}

impl Webhook {
    fn failure(&self, why: &str) -> ApiError {
        ApiError::internal(format!("failed calling webhook {:?}: {why}", self.name))
    }

    /// What a call without a proper answer means.
    fn failed(&self, context: &Context<'_>, why: &str, key: &str) -> Result<(), ApiError> {
        let configuration = &self.configuration;
        if self.ignores_failures {
            tracing::warn!(webhook = self.name, configuration, error = why, "failed calling webhook, failing open");
            context.target.remarks.annotate(key, self.name.as_str());
            return Ok(());
        }
        tracing::warn!(webhook = self.name, configuration, error = why, "failed calling webhook, failing closed");
        Err(self.failure(why))
    }
}
