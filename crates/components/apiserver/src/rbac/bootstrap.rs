//! The roles and bindings that every cluster has (upstream's bootstrap policy), and how they are kept.
//!
//! At each start what is absent is made, and what lacks rules, subjects, labels or annotations gets them; what an
//! administrator added stays. An object annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.

mod controllers;
mod policy;

use serde_json::{Map, Value, json};

use super::Rule;
use super::escalation::{compact, uncovered};

const GROUP: &str = "rbac.authorization.k8s.io";
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A line of the table of roles.
struct Role {
    name: &'static str,
    rules: &'static [&'static str],
    /// A label that is `"true"`.
    label: Option<&'static str>,
    /// The label of the roles whose rules this one collects.
    aggregates: Option<&'static str>,
}

/// A line of the table of bindings.
struct Binding {
    name: &'static str,
    role: &'static str,
    subjects: &'static [&'static str],
}

impl Binding {
    /// A binding with the name of its role.
    const fn same(name: &'static str, subjects: &'static [&'static str]) -> Self {
        Self { name, role: name, subjects }
    }
}

/// An object that every cluster has.
pub(crate) struct BootstrapObject {
    /// The plural name, such as `clusterroles`.
    pub(crate) resource: &'static str,
    /// Empty for objects of the cluster.
    pub(crate) namespace: &'static str,
    pub(crate) object: Value,
}

/// Every bootstrap role and binding, roles before bindings.
pub(crate) fn bootstrap_objects() -> Vec<BootstrapObject> {
    let object = |resource, namespace, object| BootstrapObject { resource, namespace, object };
    let mut objects: Vec<_> = policy::CLUSTER_ROLES
        .iter()
        .map(|role| object("clusterroles", "", role_object("ClusterRole", "", role)))
        .collect();
    for (name, rules) in controllers::CONTROLLERS {
        let name = format!("system:controller:{name}");
        let rules: Vec<Rule> = rules.iter().map(|rule| parse(rule)).collect();
        let mut role = envelope("ClusterRole", "", &name);
        role["rules"] = json!(rules);
        objects.push(object("clusterroles", "", role));
    }
    objects.extend(
        policy::ROLES.iter().map(|(namespace, role)| object("roles", namespace, role_object("Role", namespace, role))),
    );
    objects.extend(policy::CLUSTER_ROLE_BINDINGS.iter().map(|binding| {
        let subjects = binding.subjects.iter().map(|subject| parse_subject(subject)).collect();
        object("clusterrolebindings", "", binding_object("", binding.name, binding.role, subjects))
    }));
    for (name, _) in controllers::CONTROLLERS {
        let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"});
        let name = format!("system:controller:{name}");
        objects.push(object("clusterrolebindings", "", binding_object("", &name, &name, vec![subject])));
    }
    objects.extend(policy::ROLE_BINDINGS.iter().map(|(namespace, binding)| {
        let subjects = binding.subjects.iter().map(|subject| parse_subject(subject)).collect();
        object("rolebindings", namespace, binding_object(namespace, binding.name, binding.role, subjects))
    }));
    objects
}

/// What every node may (`system:node`). The role is bound to nobody: the Node authoriser looks closer.
pub(crate) fn node_rules() -> Vec<Rule> {
    let role = policy::CLUSTER_ROLES.iter().find(|role| role.name == "system:node");
    role.into_iter().flat_map(|role| role.rules).map(|rule| parse(rule)).collect()
}

/// What `stored` must become so that it grants at least what `wanted` does; `None` where it need not change or may not.
/// A binding to another role cannot be changed into one to this: the caller replaces it when [`Err`] says so.
pub(crate) fn reconcile(stored: &Value, wanted: &Value) -> Result<Option<Value>, Replace> {
    if stored["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return Ok(None);
    }
    if stored["roleRef"] != wanted["roleRef"] {
        return Err(Replace);
    }
    let mut new = stored.clone();
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted["metadata"][field].as_object() else { continue };
        let have = &mut new["metadata"][field];
        if have.is_null() {
            *have = Value::Object(Map::new());
        }
        let Value::Object(have) = have else { continue };
        for (key, value) in wanted {
            have.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    let rules = |role: &Value| serde_json::from_value::<Vec<Rule>>(role["rules"].clone()).unwrap_or_default();
    if wanted["aggregationRule"].is_null() {
        let missing = compact(uncovered(&rules(stored), &rules(wanted)));
        extend(&mut new, "rules", missing.iter().map(|rule| json!(rule)));
    } else if new["aggregationRule"].is_null() {
        new["aggregationRule"] = wanted["aggregationRule"].clone();
    } else {
        extend_missing(&mut new["aggregationRule"], "clusterRoleSelectors", &wanted["aggregationRule"]);
    }
    extend_missing(&mut new, "subjects", wanted);
    Ok((new != *stored).then_some(new))
}

/// The stored binding is to another role and must be made anew.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replace;

fn extend_missing(new: &mut Value, field: &str, wanted: &Value) {
    let have = new[field].as_array().cloned().unwrap_or_default();
    let wanted = wanted[field].as_array().cloned().unwrap_or_default();
    extend(new, field, wanted.into_iter().filter(|item| !have.contains(item)));
}

fn extend(new: &mut Value, field: &str, items: impl Iterator<Item = Value>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    match &mut new[field] {
        Value::Array(have) => have.extend(items),
        other => *other = Value::Array(items.collect()),
    }
}

fn envelope(kind: &str, namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTO_UPDATE: "true"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata})
}

fn role_object(kind: &str, namespace: &str, role: &Role) -> Value {
    let mut object = envelope(kind, namespace, role.name);
    if let Some(label) = role.label {
        object["metadata"]["labels"][label] = "true".into();
    }
    if let Some(label) = role.aggregates {
        object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    } else {
        object["rules"] = json!(role.rules.iter().map(|rule| parse(rule)).collect::<Vec<Rule>>());
    }
    object
}

fn binding_object(namespace: &str, name: &str, role: &str, subjects: Vec<Value>) -> Value {
    let (kind, role_kind) =
        if namespace.is_empty() { ("ClusterRoleBinding", "ClusterRole") } else { ("RoleBinding", "Role") };
    let mut object = envelope(kind, namespace, name);
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    object["subjects"] = subjects.into();
    object
}

fn parse_subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').unwrap_or(("User", text));
    match name.split_once('/') {
        Some((namespace, name)) if kind == "ServiceAccount" => {
            json!({"kind": kind, "name": name, "namespace": namespace})
        }
        _ => json!({"kind": kind, "apiGroup": GROUP, "name": name}),
    }
}

/// One rule in the notation of [`policy`].
fn parse(text: &str) -> Rule {
    let mut words = text.split(' ');
    let mut list = || -> Vec<String> {
        let items = words.next().unwrap_or_default().split(',').filter(|item| !item.is_empty());
        items.map(|item| if item == "-" { String::new() } else { item.to_owned() }).collect()
    };
    let (verbs, second, resources, resource_names) = (list(), list(), list(), list());
    let verbs = match verbs.first().map(String::as_str) {
        Some("read") => ["get", "list", "watch"].map(str::to_owned).to_vec(),
        Some("write") => ["create", "delete", "deletecollection", "patch", "update"].map(str::to_owned).to_vec(),
        Some("all") => ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            .map(str::to_owned)
            .to_vec(),
        _ => verbs,
    };
    if resources.is_empty() {
        Rule { verbs, non_resource_urls: second, ..Rule::default() }
    } else {
        Rule { verbs, api_groups: second, resources, resource_names, ..Rule::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_tables_are_well_formed() {
        let mut seen = HashSet::new();
        for BootstrapObject { resource, namespace, object } in bootstrap_objects() {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            assert!(seen.insert((resource, namespace, name.clone())), "{resource} {name} twice");
            for rule in object["rules"].as_array().into_iter().flatten() {
                let rule: Rule = serde_json::from_value(rule.clone()).unwrap();
                assert!(!rule.verbs.is_empty(), "{name}: {rule:?}");
                assert!(rule.resources.is_empty() != rule.non_resource_urls.is_empty(), "{name}: {rule:?}");
                assert!(rule.non_resource_urls.iter().all(|url| url.starts_with(['/', '*'])), "{name}: {rule:?}");
                assert!(rule.verbs.is_sorted(), "{name}: {rule:?}");
            }
            if let Some(role) = object["roleRef"]["name"].as_str() {
                let roles = if namespace.is_empty() { "clusterroles" } else { "roles" };
                assert!(seen.contains(&(roles, namespace, role.to_owned())), "{name}: no {role}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_added_and_what_was_added_stays() {
        let role = |rules: Value| {
            let mut role = envelope("ClusterRole", "", "r");
            role["rules"] = rules;
            role
        };
        let pods = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": [""], "resources": ["pods"]});
        let wanted = role(json!([pods(&["get", "list"])]));
        assert_eq!(reconcile(&wanted, &wanted), Ok(None));
        assert_eq!(reconcile(&role(json!([pods(&["*"])])), &wanted), Ok(None));
        let less = role(json!([pods(&["get"]), pods(&["delete"])]));
        let fixed = reconcile(&less, &wanted).unwrap().unwrap();
        assert_eq!(fixed["rules"], json!([pods(&["get"]), pods(&["delete"]), pods(&["list"])]));
        let mut protected = less;
        protected["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        assert_eq!(reconcile(&protected, &wanted), Ok(None));

        let binding = |role: &str, subjects: &[&str]| {
            binding_object("", "b", role, subjects.iter().map(|subject| parse_subject(subject)).collect())
        };
        let wanted = binding("r", &["User:a"]);
        let fixed = reconcile(&binding("r", &["User:b"]), &wanted).unwrap().unwrap();
        assert_eq!(fixed["subjects"], binding("r", &["User:b", "User:a"])["subjects"]);
        assert_eq!(reconcile(&binding("other", &["User:a"]), &wanted), Err(Replace));
    }
}
