//! Which requests a FlowSchema is about, and which of them belong together.

use std::hash::{Hash as _, Hasher as _};

use serde_json::Value;

use crate::identity::User;
use crate::object;
use crate::route::Route;

/// What a request asks for.
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a User,
    pub(crate) verb: &'a str,
    pub(crate) route: &'a Route,
    pub(crate) namespace: &'a str,
}

/// A FlowSchema.
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) level: String,
    precedence: u64,
    by: By,
    rules: Vec<Rule>,
}

/// What tells the flows of a schema apart.
enum By {
    Nothing,
    User,
    Namespace,
}

struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

enum Subject {
    User(String),
    Group(String),
    /// A service account, or all of a namespace.
    ServiceAccount {
        namespace: String,
        name: String,
    },
}

struct ResourceRule {
    verbs: Words,
    groups: Words,
    resources: Words,
    cluster: bool,
    namespaces: Words,
}

struct PathRule {
    verbs: Words,
    urls: Vec<String>,
}

/// Words of which one must match, or anything.
enum Words {
    Any,
    These(Vec<String>),
}

impl Words {
    fn of(value: &Value) -> Self {
        let words = strings(value);
        if words.iter().any(|word| word == "*") { Self::Any } else { Self::These(words) }
    }

    fn has(&self, word: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(words) => words.iter().any(|have| have == word),
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

impl Schema {
    /// Reads a stored FlowSchema, which has been validated.
    pub(super) fn of(value: &Value) -> Self {
        let spec = &value["spec"];
        let rules = spec["rules"].as_array().into_iter().flatten();
        Self {
            name: object::text(value, "name").to_owned(),
            level: spec["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default().to_owned(),
            precedence: spec["matchingPrecedence"].as_u64().unwrap_or(1000),
            by: match spec["distinguisherMethod"]["type"].as_str() {
                Some("ByUser") => By::User,
                Some("ByNamespace") => By::Namespace,
                _ => By::Nothing,
            },
            rules: rules.map(Rule::of).collect(),
        }
    }

    /// Schemas are tried in this order.
    pub(super) fn order(&self) -> (u64, &str) {
        (self.precedence, &self.name)
    }

    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(asked))
    }

    /// A number for the requests that must share with each other.
    pub(super) fn flow(&self, asked: &Asked<'_>) -> u64 {
        let distinguisher = match self.by {
            By::Nothing => "",
            By::User => &asked.user.name,
            By::Namespace => asked.namespace,
        };
        let mut hasher = std::hash::DefaultHasher::new();
        (self.name.as_str(), distinguisher).hash(&mut hasher);
        hasher.finish()
    }
}

impl Rule {
    fn of(value: &Value) -> Self {
        let list = |key: &str| value[key].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            subjects: list("subjects")
                .filter_map(|subject| match subject["kind"].as_str() {
                    Some("User") => Some(Subject::User(text(&subject["user"]["name"]))),
                    Some("Group") => Some(Subject::Group(text(&subject["group"]["name"]))),
                    Some("ServiceAccount") => Some(Subject::ServiceAccount {
                        namespace: text(&subject["serviceAccount"]["namespace"]),
                        name: text(&subject["serviceAccount"]["name"]),
                    }),
                    _ => None,
                })
                .collect(),
            resources: list("resourceRules")
                .map(|rule| ResourceRule {
                    verbs: Words::of(&rule["verbs"]),
                    groups: Words::of(&rule["apiGroups"]),
                    resources: Words::of(&rule["resources"]),
                    cluster: rule["clusterScope"] == true,
                    namespaces: Words::of(&rule["namespaces"]),
                })
                .collect(),
            paths: list("nonResourceRules")
                .map(|rule| PathRule { verbs: Words::of(&rule["verbs"]), urls: strings(&rule["nonResourceURLs"]) })
                .collect(),
        }
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(asked.user)) {
            return false;
        }
        match asked.route {
            Route::Path(path) => self.paths.iter().any(|rule| {
                rule.verbs.has(asked.verb)
                    && rule.urls.iter().any(|url| match url.strip_suffix('*') {
                        Some(prefix) => path.starts_with(prefix),
                        None => url == path,
                    })
            }),
            Route::Resource(route) => self.resources.iter().any(|rule| {
                let resource = match &route.subresource {
                    _ if matches!(rule.resources, Words::Any) => true,
                    None => rule.resources.has(&route.resource),
                    Some(subresource) => rule.resources.has(&format!("{}/{subresource}", route.resource)),
                };
                let place =
                    if asked.namespace.is_empty() { rule.cluster } else { rule.namespaces.has(asked.namespace) };
                resource && place && rule.verbs.has(asked.verb) && rule.groups.has(&route.group)
            }),
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.in_group(name),
            Self::ServiceAccount { namespace, name } => {
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(of, account)| of == namespace && (name == "*" || name == account))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bootstrap_objects;

    /// The first bootstrap schema that matches.
    fn schema(user: &User, verb: &str, path: &str) -> String {
        let mut all: Vec<Schema> = bootstrap_objects()
            .iter()
            .filter(|(resource, _)| *resource == "flowschemas")
            .map(|(_, object)| Schema::of(object))
            .collect();
        all.sort_by(|a, b| a.order().cmp(&b.order()));
        let route = Route::parse(path).unwrap();
        let namespace = match &route {
            Route::Resource(route) => route.authorized_namespace().to_owned(),
            Route::Path(_) => String::new(),
        };
        let asked = Asked { user, verb, route: &route, namespace: &namespace };
        all.into_iter().find(|schema| schema.matches(&asked)).map(|schema| schema.name).unwrap_or_default()
    }

    #[test]
    fn everybody_has_a_schema() {
        let account = |name: &str| User::component(name, &["system:serviceaccounts"]);
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";
        for (user, verb, path, expected) in [
            (User::component("admin", &["system:masters"]), "list", "/api/v1/pods", "exempt"),
            (User::component("alice", &[]), "list", "/api/v1/pods", "global-default"),
            (User::component("alice", &[]), "get", "/healthz", "probes"),
            (User::component("alice", &[]), "get", "/version", "global-default"),
            (User::component("system:node:n", &["system:nodes"]), "update", leases, "system-node-high"),
            (User::component("system:node:n", &["system:nodes"]), "list", "/api/v1/pods", "system-nodes"),
            (User::component("system:kube-scheduler", &[]), "update", leases, "system-leader-election"),
            (User::component("system:kube-scheduler", &[]), "list", "/api/v1/pods", "kube-scheduler"),
            (account("system:serviceaccount:kube-system:x"), "list", "/api/v1/pods", "kube-system-service-accounts"),
            (account("system:serviceaccount:default:x"), "list", "/api/v1/pods", "service-accounts"),
            (User::anonymous(), "get", "/healthz", "probes"),
            (User::anonymous(), "get", "/api/v1/pods", "global-default"),
        ] {
            assert_eq!(schema(&user, verb, path), expected, "{} {verb} {path}", user.name);
        }
    }
}
