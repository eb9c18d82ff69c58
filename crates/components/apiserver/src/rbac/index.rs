//! Roles and bindings compiled into one map from subject to rules.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Action, ResourceAction};
use crate::identity::User;

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) api_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) non_resource_urls: Vec<String>,
}

/// Rules that a subject has, everywhere (`None`) or in one namespace.
#[derive(Clone, Debug)]
struct Grant {
    namespace: Option<String>,
    rules: Arc<Vec<Rule>>,
}

/// From subject to grants.
#[derive(Debug, Default)]
pub(crate) struct Index {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Role {
    metadata: Metadata,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    metadata: Metadata,
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[derive(Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl Index {
    /// Compiles stored objects (JSON); one that cannot be read grants nothing and is logged.
    pub(crate) fn build(
        roles: &[Bytes],
        cluster_roles: &[Bytes],
        role_bindings: &[Bytes],
        cluster_role_bindings: &[Bytes],
    ) -> Self {
        let rules = |objects: &[Bytes]| -> HashMap<(String, String), Arc<Vec<Rule>>> {
            let roles = objects.iter().filter_map(read::<Role>);
            roles
                .map(|role| {
                    let key = (role.metadata.namespace, role.metadata.name);
                    (key, Arc::new(role.rules.unwrap_or_default()))
                })
                .collect()
        };
        let (roles, cluster_roles) = (rules(roles), rules(cluster_roles));
        let mut index = Self::default();
        for bytes in cluster_role_bindings {
            let Some(binding) = read::<Binding>(bytes) else { continue };
            if let Some(rules) = cluster_roles.get(&(String::new(), binding.role_ref.name.clone())) {
                index.grant(&binding, &Grant { namespace: None, rules: Arc::clone(rules) });
            }
        }
        for bytes in role_bindings {
            let Some(binding) = read::<Binding>(bytes) else { continue };
            let namespace = binding.metadata.namespace.clone();
            let rules = match binding.role_ref.kind.as_str() {
                "ClusterRole" => cluster_roles.get(&(String::new(), binding.role_ref.name.clone())),
                _ => roles.get(&(namespace.clone(), binding.role_ref.name.clone())),
            };
            if let Some(rules) = rules {
                index.grant(&binding, &Grant { namespace: Some(namespace), rules: Arc::clone(rules) });
            }
        }
        index
    }

    fn grant(&mut self, binding: &Binding, grant: &Grant) {
        for subject in binding.subjects.iter().flatten() {
            let grants = match subject.kind.as_str() {
                "Group" => self.groups.entry(subject.name.clone()),
                "ServiceAccount" => {
                    let namespace = match subject.namespace.as_str() {
                        "" => &binding.metadata.namespace,
                        given => given,
                    };
                    self.users.entry(format!("system:serviceaccount:{namespace}:{}", subject.name))
                }
                _ => self.users.entry(subject.name.clone()),
            };
            grants.or_default().push(grant.clone());
        }
    }

    fn grants<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Grant> {
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(of_groups).flatten()
    }

    pub(crate) fn allows(&self, user: &User, action: &Action<'_>) -> bool {
        self.grants(user).any(|grant| match action {
            Action::Resource(action) => {
                grant.namespace.as_deref().is_none_or(|namespace| namespace == action.namespace)
                    && grant.rules.iter().any(|rule| rule.allows_resource(action))
            }
            Action::Path { verb, path } => {
                grant.namespace.is_none() && grant.rules.iter().any(|rule| rule.allows_path(verb, path))
            }
        })
    }

    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let here = |grant: &&Grant| grant.namespace.as_deref().is_none_or(|granted| granted == namespace);
        let mut rules: Vec<Rule> = Vec::new();
        for rule in self.grants(user).filter(here).flat_map(|grant| grant.rules.iter()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        rules
    }
}

/// The rules that allow all verbs on all resources and paths.
pub(super) fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

fn read<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::error!(%error, "a stored role or binding cannot be read; it grants nothing"))
        .ok()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|have| have == "*" || have == wanted)
}

impl Rule {
    fn allows_resource(&self, action: &ResourceAction<'_>) -> bool {
        has(&self.verbs, action.verb)
            && has(&self.api_groups, action.group)
            && self.resources.iter().any(|resource| covers(resource, action))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == action.name))
    }

    fn allows_path(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb)
            && self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => url == path,
            })
    }
}

/// `*`, `pods`, `pods/log` or `*/scale`.
fn covers(pattern: &str, action: &ResourceAction<'_>) -> bool {
    if pattern == "*" {
        return true;
    }
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    subresource == action.subresource && (resource == action.resource || (resource == "*" && !subresource.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: serde_json::Value) -> Vec<Bytes> {
        vec![Bytes::from(value.to_string())]
    }

    fn index() -> Index {
        Index::build(
            &bytes(json!({"metadata": {"name": "reader", "namespace": "a"}, "rules": [
                {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
                {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]},
                {"verbs": ["patch"], "apiGroups": ["*"], "resources": ["*/scale"]}]})),
            &bytes(json!({"metadata": {"name": "health"}, "rules": [
                {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/metrics/*"]}]})),
            &bytes(json!({"metadata": {"name": "b", "namespace": "a"},
                "roleRef": {"kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "name": "alice"}, {"kind": "ServiceAccount", "name": "bot"}]})),
            &bytes(json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "health"},
                "subjects": [{"kind": "Group", "name": "system:authenticated"}]})),
        )
    }

    #[test]
    fn decisions() {
        let index = index();
        let check = |user: &str, verb, resource: &str, name, namespace, expected| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let action = Action::Resource(ResourceAction { verb, group: "", resource, subresource, namespace, name });
            let user = User::component(user, &[]);
            assert_eq!(index.allows(&user, &action), expected, "{user:?} {action:?}");
        };
        check("alice", "get", "pods", "x", "a", true);
        check("alice", "get", "pods", "x", "b", false);
        check("alice", "list", "pods", "", "", false);
        check("alice", "get", "pods/log", "x", "a", true);
        check("alice", "get", "pods/exec", "x", "a", false);
        check("alice", "delete", "pods", "x", "a", false);
        check("alice", "update", "configmaps", "one", "a", true);
        check("alice", "update", "configmaps", "two", "a", false);
        check("alice", "patch", "deployments/scale", "x", "a", true);
        check("bob", "get", "pods", "x", "a", false);
        check("system:serviceaccount:a:bot", "get", "pods", "x", "a", true);
        check("system:serviceaccount:b:bot", "get", "pods", "x", "a", false);
    }

    #[test]
    fn paths() {
        let index = index();
        let check = |path, expected| {
            let action = Action::Path { verb: "get", path };
            assert_eq!(index.allows(&User::component("x", &[]), &action), expected, "{path}");
        };
        check("/healthz", true);
        check("/healthz/etcd", false);
        check("/metrics/cadvisor", true);
        assert!(!index.allows(&User::anonymous(), &Action::Path { verb: "get", path: "/healthz" }));
    }
}
