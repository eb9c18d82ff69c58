//! A webhook that decides: it is asked by `SubjectAccessReview` (authorization.k8s.io/v1).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use minato_cel::{Budget, Environment, Program, Type};
use minato_mvcc::Memory;
use serde_json::{Value, json};

use super::{Action, Decision};
use crate::identity::User;
use crate::recent::Recent;
use crate::webhook::Endpoint;

use super::config::AuthorizationError;

const REMEMBERED_MAX: usize = 8192;
/// Larger requests are not remembered, as upstream has it.
const REMEMBERED_BYTES_MAX: usize = 10_000;
/// What all conditions of one request may cost.
const CONDITIONS_COST_MAX: u64 = 2_621_440;

/// What happens when there is no verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The next authoriser is asked.
    #[default]
    NoOpinion,
    /// The request is refused.
    Deny,
}

/// One webhook of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// How it is called in logs.
    pub name: String,
    /// A kubeconfig whose current cluster is the webhook.
    pub kubeconfig: PathBuf,
    /// How long a yes is good.
    pub authorized_time: Duration,
    /// How long a no is good.
    pub unauthorized_time: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// What happens when there is no verdict.
    pub failure_policy: FailurePolicy,
    /// CEL expressions; it is asked only where all are true.
    pub match_conditions: Vec<String>,
}

pub(super) struct Webhook {
    options: WebhookOptions,
    endpoint: Endpoint,
    memory: Memory,
    conditions: Vec<Program>,
    answers: Recent<Arc<str>, Decision>,
}

impl Webhook {
    pub(super) fn new(options: WebhookOptions, memory: Memory) -> Result<Self, AuthorizationError> {
        let environment = Environment::new().with("request", Type::Dyn);
        let conditions = options.match_conditions.iter().map(|source| {
            minato_cel::compile(&environment, source).map_err(|error| AuthorizationError::Condition {
                webhook: options.name.clone(),
                expression: source.clone(),
                reason: error.to_string(),
            })
        });
        Ok(Self {
            conditions: conditions.collect::<Result<_, _>>()?,
            endpoint: crate::kubeconfig::endpoint(&options.kubeconfig)?,
            memory,
            answers: Recent::new(REMEMBERED_MAX),
            options,
        })
    }

    pub(super) async fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        let spec = spec(user, action);
        match self.matches(&spec) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(None),
            Err(error) => return self.failed(&error),
        }
        let key: Arc<str> = spec.to_string().into();
        if let Some(decision) = self.answers.get(&key) {
            return decision;
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
        });
        let status =
            match self.endpoint.review(&self.memory, "SubjectAccessReview", &review, self.options.timeout).await {
                Ok(status) => status,
                Err(error) => return self.failed(&error.to_string()),
            };
        let reason = status["reason"].as_str().filter(|reason| !reason.is_empty()).map(Into::into);
        let (decision, time) = match (status["allowed"] == true, status["denied"] == true) {
            (true, true) => return self.failed("webhook subject access review returned both allow and deny response"),
            (true, false) => (Decision::Allow(reason), self.options.authorized_time),
            (false, true) => (Decision::Deny(reason), self.options.unauthorized_time),
            (false, false) => (Decision::NoOpinion(reason), self.options.unauthorized_time),
        };
        if key.len() <= REMEMBERED_BYTES_MAX {
            self.answers.put(key, decision.clone(), time);
        }
        decision
    }

    fn failed(&self, why: &str) -> Decision {
        tracing::error!(webhook = self.options.name, error = why, "the authorization webhook gives no verdict");
        match self.options.failure_policy {
            FailurePolicy::NoOpinion => Decision::NoOpinion(None),
            FailurePolicy::Deny => Decision::Deny(None),
        }
    }

    /// One condition that is false counts more than one that fails.
    fn matches(&self, spec: &Value) -> Result<bool, String> {
        let mut budget = Budget::new(CONDITIONS_COST_MAX);
        let mut failure = None;
        for condition in &self.conditions {
            match condition.evaluate(&[minato_cel::Value::of(spec)], &mut budget) {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(_) => failure = Some("a match condition is neither true nor false".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        failure.map_or(Ok(true), Err)
    }
}

/// The `spec` of the review.
fn spec(user: &User, action: &Action<'_>) -> Value {
    let mut spec = json!({"user": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        spec["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        spec["extra"] = json!(user.extra);
    }
    match action {
        Action::Path { verb, path } => spec["nonResourceAttributes"] = json!({"verb": verb, "path": path}),
        Action::Resource(action) => {
            let mut attributes = serde_json::Map::new();
            for (key, value) in [
                ("namespace", action.namespace),
                ("verb", action.verb),
                ("group", action.group),
                ("version", action.version),
                ("resource", action.resource),
                ("subresource", action.subresource),
                ("name", action.name),
            ] {
                if !value.is_empty() {
                    attributes.insert(key.to_owned(), value.into());
                }
            }
            for (key, requirements) in
                [("fieldSelector", action.selectors.fields()), ("labelSelector", action.selectors.labels())]
            {
                if !requirements.is_empty() {
                    attributes.insert(key.to_owned(), json!({"requirements": requirements}));
                }
            }
            spec["resourceAttributes"] = attributes.into();
        }
    }
    spec
}
