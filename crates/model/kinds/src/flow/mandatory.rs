//! The FlowSchemas and priority levels that are as they are: upstream's `flowcontrol/bootstrap`, mandatory objects.

use serde_json::{Value, json};

/// What the spec of the FlowSchema `name` must be, if nobody may choose it.
pub fn mandatory_flow_schema(name: &str) -> Option<Value> {
    let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
    let (subjects, precedence, by) = match name {
        "exempt" => (vec![group("system:masters")], 1, None),
        "catch-all" => (
            vec![group("system:unauthenticated"), group("system:authenticated")],
            10_000,
            Some(json!({"type": "ByUser"})),
        ),
        _ => return None,
    };
    let everything = json!({
        "subjects": subjects,
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    });
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": name}, "matchingPrecedence": precedence, "rules": [everything],
    });
    if let Some(by) = by {
        spec["distinguisherMethod"] = by;
    }
    Some(spec)
}

/// What the spec of the PriorityLevelConfiguration `name` must be, if nobody may choose it. Of the exempt level only the
/// type is fixed: its `exempt` is for administrators to choose.
pub fn mandatory_priority_level(name: &str) -> Option<Value> {
    match name {
        "exempt" => Some(json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        "catch-all" => Some(json!({
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
        })),
        _ => None,
    }
}
