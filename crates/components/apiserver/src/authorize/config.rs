//! Which authorisers there are, in which order (`apiserver.config.k8s.io/v1 AuthorizationConfiguration`).

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::webhook::{FailurePolicy, WebhookOptions};
use crate::kubeconfig::KubeconfigError;
use crate::passage::parse_duration;

/// One authoriser of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is allowed.
    AlwaysDeny,
    /// Nodes may what their pods need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Somebody else decides.
    Webhook(Box<WebhookOptions>),
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// Not a mode.
    #[error("{given:?} is not a valid mode: AlwaysAllow, AlwaysDeny, Node, RBAC or Webhook")]
    Mode {
        /// What was given.
        given: String,
    },
    /// The file is not an `AuthorizationConfiguration`.
    #[error("not an AuthorizationConfiguration: {0}")]
    Malformed(String),
    /// A mode twice, or a webhook without what it needs.
    #[error("{0}")]
    Invalid(String),
    /// The webhook's kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// A match condition does not compile.
    #[error("webhook {webhook}: match condition {expression:?}: {reason}")]
    Condition {
        /// Whose.
        webhook: String,
        /// Its source.
        expression: String,
        /// What is wrong.
        reason: String,
    },
}

impl AuthorizationMode {
    /// The modes that need no settings, by upstream's names.
    ///
    /// # Errors
    /// [`AuthorizationError::Mode`].
    pub fn parse(text: &str) -> Result<Self, AuthorizationError> {
        Ok(match text {
            "AlwaysAllow" => Self::AlwaysAllow,
            "AlwaysDeny" => Self::AlwaysDeny,
            "Node" => Self::Node,
            "RBAC" => Self::Rbac,
            _ => return Err(AuthorizationError::Mode { given: text.to_owned() }),
        })
    }

    /// The list that an `AuthorizationConfiguration` names.
    ///
    /// # Errors
    /// [`AuthorizationError`].
    pub fn read(yaml: &str) -> Result<Vec<Self>, AuthorizationError> {
        let file: File =
            serde_saphyr::from_str(yaml).map_err(|error| AuthorizationError::Malformed(error.to_string()))?;
        let versions = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
        if file.kind != "AuthorizationConfiguration" || !versions.contains(&file.api_version) {
            let found = format!("{} {}", file.api_version, file.kind);
            return Err(AuthorizationError::Malformed(format!("found {found}")));
        }
        let invalid = |why: &str| AuthorizationError::Invalid(why.to_owned());
        if file.authorizers.is_empty() {
            return Err(invalid("authorizers: Required value: at least one authorization mode must be defined"));
        }
        let mut modes: Vec<Self> = Vec::new();
        for entry in file.authorizers {
            let mode = match (entry.kind.as_str(), entry.webhook) {
                ("Webhook", Some(webhook)) => Self::Webhook(Box::new(webhook.options(entry.name)?)),
                ("Webhook", None) => return Err(invalid("authorizers: a Webhook needs webhook settings")),
                (kind, _) => Self::parse(kind)?,
            };
            if modes.contains(&mode) {
                return Err(AuthorizationError::Invalid(format!("authorizers: Duplicate value: {:?}", entry.kind)));
            }
            modes.push(mode);
        }
        Ok(modes)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    authorizers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    webhook: Option<WebhookEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookEntry {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    cache_authorized_requests: Option<bool>,
    cache_unauthorized_requests: Option<bool>,
    timeout: Option<String>,
    subject_access_review_version: Option<String>,
    match_condition_subject_access_review_version: Option<String>,
    failure_policy: String,
    connection_info: Connection,
    #[serde(default)]
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Connection {
    #[serde(rename = "type")]
    kind: String,
    kube_config_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Condition {
    expression: String,
}

impl WebhookEntry {
    fn options(self, name: String) -> Result<WebhookOptions, AuthorizationError> {
        let invalid = |why: String| AuthorizationError::Invalid(format!("webhook {name}: {why}"));
        let time = |text: Option<String>, default: u64, field: &str| match text {
            None => Ok(Duration::from_secs(default)),
            Some(text) => parse_duration(&text).ok_or_else(|| invalid(format!("{field}: {text:?} is no duration"))),
        };
        let kept = |time: Duration, keeps: Option<bool>| if keeps == Some(false) { Duration::ZERO } else { time };
        for version in [&self.subject_access_review_version, &self.match_condition_subject_access_review_version] {
            if version.as_deref().is_some_and(|version| version != "v1") {
                return Err(invalid("only version v1 of SubjectAccessReview is spoken".to_owned()));
            }
        }
        let kubeconfig = match (self.connection_info.kind.as_str(), self.connection_info.kube_config_file) {
            ("KubeConfigFile", Some(path)) => path,
            (kind, _) => {
                return Err(invalid(format!("connectionInfo: {kind:?} is not a KubeConfigFile with its path")));
            }
        };
        Ok(WebhookOptions {
            kubeconfig,
            authorized_time: kept(time(self.authorized_ttl, 300, "authorizedTTL")?, self.cache_authorized_requests),
            unauthorized_time: kept(
                time(self.unauthorized_ttl, 30, "unauthorizedTTL")?,
                self.cache_unauthorized_requests,
            ),
            timeout: time(self.timeout, 30, "timeout")?.min(Duration::from_secs(30)),
            failure_policy: match self.failure_policy.as_str() {
                "NoOpinion" => FailurePolicy::NoOpinion,
                "Deny" => FailurePolicy::Deny,
                other => return Err(invalid(format!("failurePolicy: {other:?} is neither NoOpinion nor Deny"))),
            },
            match_conditions: self.match_conditions.into_iter().map(|condition| condition.expression).collect(),
            name: name.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: house
  webhook:
    authorizedTTL: 1m
    cacheUnauthorizedRequests: false
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /etc/house.yaml}
    matchConditions:
    - expression: has(request.resourceAttributes)
- {type: Node, name: node}
- {type: RBAC, name: rbac}
"#;

    #[test]
    fn configuration_files() {
        let modes = AuthorizationMode::read(FILE).unwrap();
        let AuthorizationMode::Webhook(webhook) = &modes[0] else { panic!("{modes:?}") };
        assert_eq!((webhook.authorized_time.as_secs(), webhook.unauthorized_time.as_secs()), (60, 0));
        assert_eq!((webhook.timeout.as_secs(), webhook.failure_policy), (3, FailurePolicy::Deny));
        assert_eq!(modes[1..], [AuthorizationMode::Node, AuthorizationMode::Rbac]);
        for (from, to, expected) in [
            ("type: RBAC", "type: Node", "Duplicate"),
            ("type: RBAC", "type: ABAC", "is not a valid mode"),
            ("timeout: 3s", "timeout: soon", "is no duration"),
            ("failurePolicy: Deny", "failurePolicy: Allow", "failurePolicy"),
            ("kind: AuthorizationConfiguration", "kind: Other", "Other"),
            ("timeout:", "timeuot:", "timeuot"),
        ] {
            let error = AuthorizationMode::read(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
