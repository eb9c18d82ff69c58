//! Aggregated ClusterRoles: roles whose rules are those of other roles, chosen by label.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use minato_select::LabelSelector;

/// The rules that `role` must have, given `all` roles of the cluster; `None` where it does not aggregate.
///
/// Selected roles come by selector, then by name; a rule that is there already is not repeated. A selector that cannot
/// be read selects nothing.
#[must_use]
pub fn aggregated_rules<'a>(
    role: &ClusterRole,
    all: impl IntoIterator<Item = &'a ClusterRole> + Clone,
) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.iter().flatten();
    let mut rules = Vec::new();
    for selector in selectors {
        let selector = serde_json::to_value(selector).ok().and_then(|value| LabelSelector::from_object(&value).ok());
        let Some(selector) = selector else { continue };
        let mut selected: Vec<&ClusterRole> = all
            .clone()
            .into_iter()
            .filter(|other| other.metadata.name != role.metadata.name)
            .filter(|other| {
                let labels = other.metadata.labels.as_ref();
                selector.matches(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
            })
            .collect();
        selected.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        for rule in selected.iter().filter_map(|other| other.rules.as_ref()).flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn role(name: &str, label: &str, resources: &[&str]) -> ClusterRole {
        let rules: Vec<Value> = resources
            .iter()
            .map(|resource| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]}))
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules})).unwrap()
    }

    #[test]
    fn rules_of_selected_roles_by_name_without_repetition() {
        let all =
            [role("c", "to-x", &["pods", "secrets"]), role("a", "to-x", &["nodes"]), role("b", "to-y", &["events"])];
        let mut collector = role("x", "to-x", &["stale"]);
        assert_eq!(aggregated_rules(&collector, &all), None);
        let selectors = |labels: &[&str]| {
            let selectors: Vec<Value> = labels.iter().map(|label| json!({"matchLabels": {(*label): "true"}})).collect();
            serde_json::from_value(json!({"clusterRoleSelectors": selectors})).unwrap()
        };
        let collected = |role: &ClusterRole| {
            let rules = aggregated_rules(role, all.iter().chain([role])).unwrap();
            rules.iter().filter_map(|rule| rule.resources.clone()).flatten().collect::<Vec<_>>()
        };
        collector.aggregation_rule = Some(selectors(&["to-x"]));
        assert_eq!(collected(&collector), ["nodes", "pods", "secrets"]);
        collector.aggregation_rule = Some(selectors(&["to-y", "to-x", "to-z"]));
        assert_eq!(collected(&collector), ["events", "nodes", "pods", "secrets"]);
        collector.aggregation_rule = Some(selectors(&[]));
        assert_eq!(collected(&collector), [""; 0]);
    }
}
