//! `audit.k8s.io/v1 Policy`: the first rule that matches a request says how much is told of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::route::{ResourceRoute, Route};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not a policy.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Policy {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code)] // Written by people for people.
    metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What the policy says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) level: Level,
    pub(super) omit_stages: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

impl Policy {
    pub(super) fn read(path: &Path) -> Result<Self, PolicyError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|reason| PolicyError::Invalid { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            return Err(format!("{} {} is not an audit.k8s.io/v1 Policy", policy.api_version, policy.kind));
        }
        if policy.rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".to_owned());
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            rule.check().map_err(|reason| format!("rules[{index}]{reason}"))?;
        }
        Ok(policy)
    }

    /// What is told of `subject`; nothing where no rule matches.
    pub(super) fn select(&self, subject: &Subject<'_>) -> Selected {
        match self.rules.iter().find(|rule| rule.matches(subject)) {
            Some(rule) => Selected {
                level: rule.level,
                omit_stages: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Selected { level: Level::None, omit_stages: Vec::new(), omit_managed_fields: false },
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        if !self.non_resource_urls.is_empty() && (!self.resources.is_empty() || !self.namespaces.is_empty()) {
            return Err(
                ".nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs".to_owned()
            );
        }
        for (index, url) in self.non_resource_urls.iter().enumerate() {
            let field = format!(".nonResourceURLs[{index}]: Invalid value: {url:?}");
            if url == "*" {
                continue;
            }
            if !url.starts_with('/') {
                return Err(format!("{field}: non-resource URL rules must begin with a '/' character"));
            }
            if url.find('*').is_some_and(|star| star + 1 < url.len()) {
                return Err(format!("{field}: non-resource URL wildcards '*' must be the final character of the rule"));
            }
        }
        for (index, group) in self.resources.iter().enumerate() {
            if group.resources.is_empty() && !group.resource_names.is_empty() {
                return Err(format!(
                    ".resources[{index}].resourceNames: using resourceNames requires at least one resource"
                ));
            }
        }
        Ok(())
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|have| have == word);
        if !self.users.is_empty() && !subject.user.is_some_and(|user| has(&self.users, &user.name)) {
            return false;
        }
        if !self.user_groups.is_empty()
            && !subject.user.is_some_and(|user| user.groups.iter().any(|group| has(&self.user_groups, group)))
        {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, subject.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            let Route::Resource(route) = subject.route else { return false };
            return (self.namespaces.is_empty() || has(&self.namespaces, subject.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|group| group.matches(route)));
        }
        if !self.non_resource_urls.is_empty() {
            let Route::Path(path) = subject.route else { return false };
            return self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == url,
            });
        }
        true
    }
}

impl GroupResources {
    fn matches(&self, route: &ResourceRoute) -> bool {
        if self.group != route.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let name = route.name.as_deref().unwrap_or_default();
        if !self.resource_names.is_empty() && !self.resource_names.iter().any(|have| have == name) {
            return false;
        }
        let subresource = route.subresource.as_deref().unwrap_or_default();
        self.resources.iter().any(|pattern| match pattern.split_once('/') {
            None => pattern == "*" || (subresource.is_empty() && *pattern == route.resource),
            Some(("*", of)) => !subresource.is_empty() && of == subresource,
            Some((resource, "*")) => resource == route.resource,
            Some((resource, of)) => resource == route.resource && of == subresource && !of.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::User;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:kube-proxy"], verbs: [watch]}
- {level: None, userGroups: ["system:authenticated"], nonResourceURLs: ["/api*", "/version"]}
- {level: Request, resources: [{group: "", resources: [configmaps]}], namespaces: [kube-system], omitManagedFields: false}
- {level: Metadata, resources: [{group: "", resources: [secrets, "*/status"], resourceNames: [a]}], omitStages: [Panic]}
- {level: RequestResponse, resources: [{group: apps}, {group: "", resources: ["pods/*"]}]}
"#;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let policy = Policy::parse(POLICY).unwrap();
        let alice = User::component("alice", &[]);
        let proxy = User::component("system:kube-proxy", &[]);
        let level = |user: &User, verb: &str, path: &str| {
            let route = Route::parse(path).unwrap();
            let namespace = match &route {
                Route::Resource(route) => route.namespace.clone().unwrap_or_default(),
                Route::Path(_) => String::new(),
            };
            policy.select(&Subject { route: &route, verb, namespace: &namespace, user: Some(user) })
        };
        for (user, verb, path, expected) in [
            (&proxy, "watch", "/api/v1/services", Level::None),
            (&alice, "get", "/apis", Level::None),
            (&alice, "get", "/version", Level::None),
            (&alice, "get", "/api/v1/namespaces/kube-system/configmaps/x", Level::Request),
            (&alice, "get", "/api/v1/namespaces/default/configmaps/x", Level::None),
            (&alice, "get", "/api/v1/namespaces/default/secrets/a", Level::Metadata),
            (&alice, "get", "/api/v1/namespaces/default/secrets/b", Level::None),
            (&alice, "update", "/api/v1/namespaces/default/pods/a/status", Level::Metadata),
            (&alice, "list", "/apis/apps/v1/deployments", Level::RequestResponse),
            (&alice, "get", "/api/v1/namespaces/default/pods/b/log", Level::RequestResponse),
            (&alice, "get", "/api/v1/namespaces/default/pods/b", Level::RequestResponse),
            (&alice, "get", "/healthz", Level::None),
        ] {
            assert_eq!(level(user, verb, path).level, expected, "{verb} {path}");
        }
        let selected = level(&alice, "get", "/api/v1/namespaces/default/secrets/a");
        assert_eq!(selected.omit_stages, [Stage::RequestReceived, Stage::Panic]);
        assert!(selected.omit_managed_fields);
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        for (text, complaint) in [
            (head.to_owned(), "0 rules"),
            ("apiVersion: v1\nkind: Pod\nrules: [{level: None}]".to_owned(), "is not an audit.k8s.io/v1 Policy"),
            (format!("{head}rules: [{{level: All}}]"), "All"),
            (format!("{head}rules: [{{level: None, user: [a]}}]"), "user"),
            (format!("{head}rules: [{{level: None, nonResourceURLs: ['/a*b']}}]"), "must be the final character"),
            (
                format!("{head}rules: [{{level: None, nonResourceURLs: ['/a'], namespaces: [b]}}]"),
                "cannot apply to both",
            ),
        ] {
            let error = Policy::parse(&text).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
