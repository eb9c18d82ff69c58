//! Nobody can grant what they do not have themselves.
//!
//! A role may be written by those who hold all its rules, or the verb `escalate` on it; it may be bound by those who
//! hold all its rules, or the verb `bind` on it (upstream's `policybased` storages).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::index::everything;
use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Rbac, Rule};
use crate::admission::{Context, Operation};
use crate::authorize::{Action, ResourceAction};
use crate::core::Core;
use crate::identity::{MASTERS, User};
use crate::status::{ApiError, Subject};
use crate::write::Target;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks a role or binding that is created or updated; everything else passes.
pub(crate) fn check_grant(context: &Context<'_>, object: &Value) -> Result<(), ApiError> {
    let (core, target, old) = (context.core, context.target, context.old);
    if target.user.in_group(MASTERS) || !matches!(context.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let unchanged = |field: &str| old.is_some_and(|old| same(&old[field], &object[field]));
    match &*target.resource.storage {
        ROLES | CLUSTER_ROLES if !(unchanged("rules") && unchanged("aggregationRule")) => {
            check_role(core, target, object, old)
        }
        ROLE_BINDINGS | CLUSTER_ROLE_BINDINGS if !(unchanged("roleRef") && unchanged("subjects")) => {
            check_binding(core, target, object)
        }
        _ => Ok(()),
    }
}

fn check_role(core: &Core, target: &Target<'_>, role: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let (user, resource) = (target.user, target.resource);
    let subject = resource.subject(crate::object::text(role, "name"));
    let escalate = ResourceAction {
        verb: "escalate",
        group: GROUP,
        resource: subject.resource,
        namespace: target.namespace,
        name: subject.name,
        ..ResourceAction::default()
    };
    if core.authorizer.allows(user, &Action::Resource(escalate)) {
        return Ok(());
    }
    let rbac = core.authorizer.rbac();
    confirm(rbac, user, target.namespace, &rules_of(role)?).map_err(|why| ApiError::forbidden(&subject, &why))?;
    let aggregates =
        |role: &Value| role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|s| !s.is_empty());
    if aggregates(role) || old.is_some_and(aggregates) {
        confirm(rbac, user, target.namespace, &everything()).map_err(|_| {
            ApiError::forbidden(&subject, "must have cluster-admin privileges to use an aggregationRule")
        })?;
    }
    Ok(())
}

fn check_binding(core: &Core, target: &Target<'_>, binding: &Value) -> Result<(), ApiError> {
    let user = target.user;
    let reference = &binding["roleRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (storage, resource, namespace) = match text("kind") {
        "ClusterRole" => (CLUSTER_ROLES, "clusterroles", ""),
        "Role" => (ROLES, "roles", target.namespace),
        // Validation names what is wrong.
        _ => return Ok(()),
    };
    let name = text("name");
    let bind = ResourceAction {
        verb: "bind",
        group: GROUP,
        resource,
        namespace: target.namespace,
        name,
        ..ResourceAction::default()
    };
    if core.authorizer.allows(user, &Action::Resource(bind)) {
        return Ok(());
    }
    let role = core.memory().get(&minato_mvcc::Key::new(storage, namespace, name));
    let role = role.ok_or_else(|| ApiError::not_found(&Subject { group: GROUP, resource, name }))?;
    let rules = rules_of(&crate::write::parse(&role)?)?;
    let subject = target.resource.subject(crate::object::text(binding, "name"));
    confirm(core.authorizer.rbac(), user, target.namespace, &rules).map_err(|why| ApiError::forbidden(&subject, &why))
}

/// Absent, null and empty are the same.
fn same(a: &Value, b: &Value) -> bool {
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    a == b || (empty(a) && empty(b))
}

fn rules_of(role: &Value) -> Result<Vec<Rule>, ApiError> {
    match &role["rules"] {
        Value::Null => Ok(Vec::new()),
        rules => serde_json::from_value(rules.clone()).map_err(|error| ApiError::bad_request(error.to_string())),
    }
}

/// That `user` has all of `wanted` in `namespace`; else what is missing, in words.
fn confirm(rbac: &Rbac, user: &User, namespace: &str, wanted: &[Rule]) -> Result<(), String> {
    let missing = uncovered(&rbac.rules(user, namespace), wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let missing: BTreeSet<String> = compact(missing).iter().map(describe).collect();
    let missing: Vec<String> = missing.into_iter().collect();
    Err(format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        missing.join("\n")
    ))
}

/// The atoms of `wanted` (one verb, one group, one resource, one name, or one verb and one path) that no rule of
/// `held` covers.
pub(super) fn uncovered(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let atoms = wanted.iter().flat_map(atoms);
    atoms.filter(|atom| !held.iter().any(|rule| covers(rule, atom))).collect()
}

fn atoms(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut atoms = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let atom =
                    Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    atoms.push(atom);
                } else {
                    atoms.extend(
                        rule.resource_names.iter().map(|name| Rule { resource_names: one(name), ..atom.clone() }),
                    );
                }
            }
        }
        let paths = rule.non_resource_urls.iter();
        atoms.extend(paths.map(|url| Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() }));
    }
    atoms
}

fn covers(held: &Rule, atom: &Rule) -> bool {
    let all = |held: &[String], wanted: &[String]| {
        held.iter().any(|have| have == "*") || wanted.iter().all(|wanted| held.contains(wanted))
    };
    let resource = |wanted: &String| {
        let subresource = wanted.split_once('/').map(|(_, subresource)| subresource);
        held.resources.iter().any(|have| {
            have == "*" || have == wanted || subresource.is_some_and(|wanted| have.strip_prefix("*/") == Some(wanted))
        })
    };
    let path = |wanted: &String| {
        held.non_resource_urls
            .iter()
            .any(|have| have == wanted || have.strip_suffix('*').is_some_and(|prefix| wanted.starts_with(prefix)))
    };
    let names = held.resource_names.is_empty()
        || (!atom.resource_names.is_empty()
            && atom.resource_names.iter().all(|name| held.resource_names.contains(name)));
    all(&held.verbs, &atom.verbs)
        && all(&held.api_groups, &atom.api_groups)
        && atom.resources.iter().all(resource)
        && names
        && atom.non_resource_urls.iter().all(path)
}

/// Joins the verbs of atoms that are otherwise the same.
pub(super) fn compact(atoms: Vec<Rule>) -> Vec<Rule> {
    /// Groups, resources and names.
    type What = (Vec<String>, Vec<String>, Vec<String>);
    let mut joined: BTreeMap<What, Vec<String>> = BTreeMap::new();
    let mut paths = Vec::new();
    for atom in atoms {
        if !atom.non_resource_urls.is_empty() {
            paths.push(atom);
            continue;
        }
        let verbs = joined.entry((atom.api_groups, atom.resources, atom.resource_names)).or_default();
        for verb in atom.verbs {
            if !verbs.contains(&verb) {
                verbs.push(verb);
            }
        }
    }
    let joined = joined.into_iter().map(|((api_groups, resources, resource_names), verbs)| Rule {
        verbs,
        api_groups,
        resources,
        resource_names,
        ..Rule::default()
    });
    joined.chain(paths).collect()
}

fn describe(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
    format!("{{{}}}", parts.join(", "))
}

/// As Go prints a list of strings with `%q`.
fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
        let list = |text: &str| text.split(' ').filter(|s| !s.is_empty()).map(|s| s.replace('-', "")).collect();
        Rule {
            verbs: list(verbs),
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            ..Rule::default()
        }
    }

    #[test]
    fn what_is_missing() {
        let held = [
            rule("get list", "-", "pods", ""),
            rule("*", "apps", "*/scale deployments", ""),
            rule("get", "-", "secrets", "a"),
        ];
        let check = |wanted: Rule, expected: &[&str]| {
            let missing = compact(uncovered(&held, &[wanted]));
            assert_eq!(missing.iter().map(describe).collect::<Vec<_>>(), expected);
        };
        check(rule("get", "-", "pods", ""), &[]);
        check(rule("get", "-", "pods", "one"), &[]);
        check(
            rule("get create delete", "-", "pods", ""),
            &[r#"{APIGroups:[""], Resources:["pods"], Verbs:["create" "delete"]}"#],
        );
        check(rule("patch", "apps", "statefulsets/scale", ""), &[]);
        check(rule("get", "-", "secrets", "a"), &[]);
        check(
            rule("get", "-", "secrets", "a b"),
            &[r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#],
        );
        check(rule("get", "-", "secrets", ""), &[r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#]);
        check(rule("*", "*", "*", ""), &[r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#]);
    }
}
