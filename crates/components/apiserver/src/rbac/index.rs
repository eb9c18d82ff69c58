//! Roles and bindings compiled into one map from subject to rules.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::authorize::{Action, Decision, Reason, ResourceAction};
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
    /// Which binding this comes from; where its role does not exist, what is missing.
    reason: Result<Reason, Reason>,
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
        let bindings = |objects: &[Bytes]| objects.iter().filter_map(read::<Binding>).collect::<Vec<_>>();
        for binding in bindings(cluster_role_bindings) {
            let rules = cluster_roles.get(&(String::new(), binding.role_ref.name.clone()));
            index.grant(&binding, None, rules);
        }
        for binding in bindings(role_bindings) {
            let namespace = binding.metadata.namespace.clone();
            let rules = match binding.role_ref.kind.as_str() {
                "ClusterRole" => cluster_roles.get(&(String::new(), binding.role_ref.name.clone())),
                _ => roles.get(&(namespace.clone(), binding.role_ref.name.clone())),
            };
            index.grant(&binding, Some(namespace), rules);
        }
        index
    }

    fn grant(&mut self, binding: &Binding, namespace: Option<String>, rules: Option<&Arc<Vec<Rule>>>) {
        let RoleRef { kind, name } = &binding.role_ref;
        let source = match &namespace {
            None => format!("ClusterRoleBinding {:?}", binding.metadata.name),
            Some(namespace) => format!("RoleBinding {:?}", format!("{}/{namespace}", binding.metadata.name)),
        };
        for subject in binding.subjects.iter().flatten() {
            let (grants, who) = match subject.kind.as_str() {
                "Group" => (self.groups.entry(subject.name.clone()), format!("Group {:?}", subject.name)),
                "ServiceAccount" => {
                    let home = match subject.namespace.as_str() {
                        "" => &binding.metadata.namespace,
                        given => given,
                    };
                    let user = format!("system:serviceaccount:{home}:{}", subject.name);
                    let who = format!("ServiceAccount {:?}", format!("{}/{home}", subject.name));
                    (self.users.entry(user), who)
                }
                _ => (self.users.entry(subject.name.clone()), format!("User {:?}", subject.name)),
            };
            let reason = match rules {
                Some(_) => Ok(format!("RBAC: allowed by {source} of {kind} {name:?} to {who}").into()),
                None => {
                    let resource = format!("{}.rbac.authorization.k8s.io", kind.to_ascii_lowercase());
                    Err(format!("{resource} {name:?} not found").into())
                }
            };
            let rules = rules.map(Arc::clone).unwrap_or_default();
            grants.or_default().push(Grant { namespace: namespace.clone(), rules, reason });
        }
    }

    fn grants<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Grant> {
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        self.users.get(&user.name).into_iter().chain(of_groups).flatten()
    }

    pub(crate) fn decide(&self, user: &User, action: &Action<'_>) -> Decision {
        let found = self.grants(user).find(|grant| match action {
            Action::Resource(action) => {
                grant.reaches(action.namespace) && grant.rules.iter().any(|rule| rule.allows_resource(action))
            }
            Action::Path { verb, path } => {
                grant.namespace.is_none() && grant.rules.iter().any(|rule| rule.allows_path(verb, path))
            }
        });
        match found {
            Some(grant) => Decision::Allow(grant.reason.as_ref().ok().map(Arc::clone)),
            None => Decision::NoOpinion(self.missing(user, action)),
        }
    }

    /// Roles that are bound to `user` and do not exist.
    fn missing(&self, user: &User, action: &Action<'_>) -> Option<Reason> {
        let counts = |grant: &&Grant| match action {
            Action::Resource(action) => grant.reaches(action.namespace),
            Action::Path { .. } => grant.namespace.is_none(),
        };
        let mut missing: Vec<&str> =
            self.grants(user).filter(counts).filter_map(|grant| Some(&**grant.reason.as_ref().err()?)).collect();
        missing.dedup();
        match missing.as_slice() {
            [] => None,
            [one] => Some(format!("RBAC: {one}").into()),
            many => Some(format!("RBAC: [{}]", many.join(", ")).into()),
        }
    }

    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let here = |grant: &&Grant| grant.reaches(namespace);
        let mut rules: Vec<Rule> = Vec::new();
        for rule in self.grants(user).filter(here).flat_map(|grant| grant.rules.iter()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        rules
    }
}

impl Grant {
    fn reaches(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|granted| granted == namespace)
    }
}

/// The rules that allow all verbs on all resources and paths.
pub(crate) fn everything() -> [Rule; 2] {
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
    pub(crate) fn allows_resource(&self, action: &ResourceAction<'_>) -> bool {
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

    fn bytes(values: impl IntoIterator<Item = serde_json::Value>) -> Vec<Bytes> {
        values.into_iter().map(|value| Bytes::from(value.to_string())).collect()
    }

    fn index() -> Index {
        Index::build(
            &bytes([json!({"metadata": {"name": "reader", "namespace": "a"}, "rules": [
                {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
                {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]},
                {"verbs": ["patch"], "apiGroups": ["*"], "resources": ["*/scale"]}]})]),
            &bytes([json!({"metadata": {"name": "health"}, "rules": [
                {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/metrics/*"]}]})]),
            &bytes([
                json!({"metadata": {"name": "b", "namespace": "a"},
                "roleRef": {"kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "name": "alice"}, {"kind": "ServiceAccount", "name": "bot"}]}),
                json!({"metadata": {"name": "c", "namespace": "a"}, "roleRef": {"kind": "Role", "name": "gone"},
                "subjects": [{"kind": "User", "name": "carol"}]}),
            ]),
            &bytes([json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "health"},
                "subjects": [{"kind": "Group", "name": "system:authenticated"}]})]),
        )
    }

    #[test]
    fn decisions() {
        let index = index();
        let check = |user: &str, verb, resource: &str, name, namespace, expected| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let action = Action::Resource(ResourceAction {
                verb,
                resource,
                subresource,
                namespace,
                name,
                ..ResourceAction::default()
            });
            let user = User::component(user, &[]);
            assert_eq!(index.decide(&user, &action).is_allowed(), expected, "{user:?} {action:?}");
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
            assert_eq!(index.decide(&User::component("x", &[]), &action).is_allowed(), expected, "{path}");
        };
        check("/healthz", true);
        check("/healthz/etcd", false);
        check("/metrics/cadvisor", true);
        assert!(!index.decide(&User::anonymous(), &Action::Path { verb: "get", path: "/healthz" }).is_allowed());
    }

    #[test]
    fn reasons() {
        let action = Action::Resource(ResourceAction {
            verb: "get",
            resource: "pods",
            namespace: "a",
            ..ResourceAction::default()
        });
        let reason = |user: &str| {
            let decision = index().decide(&User::component(user, &[]), &action);
            decision.reason().to_owned()
        };
        let allowed = r#"RBAC: allowed by RoleBinding "b/a" of Role "reader" to "#;
        assert_eq!(reason("alice"), format!("{allowed}User \"alice\""));
        assert_eq!(reason("system:serviceaccount:a:bot"), format!("{allowed}ServiceAccount \"bot/a\""));
        assert_eq!(reason("carol"), r#"RBAC: role.rbac.authorization.k8s.io "gone" not found"#);
        assert_eq!(reason("bob"), "");
    }
}
