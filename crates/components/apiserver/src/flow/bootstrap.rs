//! The priority levels and FlowSchemas that every cluster has (upstream's `flowcontrol/bootstrap`), and what is told of
//! FlowSchemas in their status.

use jiff::Timestamp;
use minato_kinds::{mandatory_flow_schema, mandatory_priority_level};
use serde_json::{Value, json};

use super::FLOW_SCHEMAS;
use crate::admission::Remarks;
use crate::core::Core;
use crate::identity::{MASTERS, User};
use crate::object;
use crate::write::{Target, UpdateKind, parse};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// `(resource, object)`, the levels first.
pub(crate) fn bootstrap_objects() -> Vec<(&'static str, Value)> {
    let everybody = || vec![group(UNAUTHENTICATED), group(AUTHENTICATED)];
    let nodes = || vec![group("system:nodes")];
    let manager = || user("system:kube-controller-manager");
    let scheduler = || user("system:kube-scheduler");
    let system_accounts = || account("*");
    let leases = || resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false);
    let probes = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]});
    let node_parts = vec![
        resources(&["*"], "", &["nodes", "nodes/status"], true),
        resources(&["*"], "coordination.k8s.io", &["leases"], false),
    ];
    let endpoints = resources(&["get", "create", "update"], "", &["endpoints"], false);
    vec![
        mandatory_level("exempt"),
        limited("system", 30, 33, (64, 6)),
        limited("node-high", 40, 25, (64, 6)),
        limited("leader-election", 10, 0, (16, 4)),
        limited("workload-high", 40, 50, (128, 6)),
        limited("workload-low", 100, 90, (128, 6)),
        limited("global-default", 20, 50, (128, 6)),
        mandatory_level("catch-all"),
        mandatory_schema("exempt"),
        schema("probes", ("exempt", 2, None), everybody(), (Vec::new(), vec![probes])),
        schema(
            "system-leader-election",
            ("leader-election", 100, Some("ByUser")),
            vec![manager(), scheduler(), system_accounts()],
            (vec![leases()], Vec::new()),
        ),
        schema(
            "endpoint-controller",
            ("workload-high", 150, Some("ByUser")),
            vec![manager(), account("endpoint-controller"), account("endpointslicemirroring-controller")],
            (vec![endpoints], Vec::new()),
        ),
        schema(
            "workload-leader-election",
            ("leader-election", 200, Some("ByUser")),
            vec![system_accounts()],
            (vec![leases()], Vec::new()),
        ),
        schema("system-node-high", ("node-high", 400, Some("ByUser")), nodes(), (node_parts, Vec::new())),
        schema("system-nodes", ("system", 500, Some("ByUser")), nodes(), everything()),
        schema("kube-controller-manager", ("workload-high", 800, Some("ByNamespace")), vec![manager()], everything()),
        schema("kube-scheduler", ("workload-high", 800, Some("ByNamespace")), vec![scheduler()], everything()),
        schema(
            "kube-system-service-accounts",
            ("workload-high", 900, Some("ByNamespace")),
            vec![system_accounts()],
            everything(),
        ),
        schema(
            "service-accounts",
            ("workload-low", 9000, Some("ByUser")),
            vec![group("system:serviceaccounts")],
            everything(),
        ),
        schema("global-default", ("global-default", 9900, Some("ByUser")), everybody(), everything()),
        mandatory_schema("catch-all"),
    ]
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}})
}

fn mandatory_level(name: &str) -> (&'static str, Value) {
    configuration(name, &mandatory_priority_level(name).unwrap_or_default())
}

fn mandatory_schema(name: &str) -> (&'static str, Value) {
    flow_schema(name, mandatory_flow_schema(name).unwrap_or_default())
}

/// A level with its shares, the part that it lends, and `(queues, hand size)`.
fn limited(name: &str, shares: u32, lendable: u32, (queues, hand): (u32, u32)) -> (&'static str, Value) {
    let response = json!({
        "type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50},
    });
    let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
    configuration(name, &json!({"type": "Limited", "limited": limited}))
}

fn configuration(name: &str, spec: &Value) -> (&'static str, Value) {
    let object = json!({
        "apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration", "metadata": metadata(name), "spec": spec,
    });
    ("prioritylevelconfigurations", object)
}

fn schema(
    name: &str,
    (level, precedence, by): (&str, u32, Option<&str>),
    subjects: Vec<Value>,
    (resources, paths): (Vec<Value>, Vec<Value>),
) -> (&'static str, Value) {
    let mut rule = json!({"subjects": subjects});
    for (key, rules) in [("resourceRules", resources), ("nonResourceRules", paths)] {
        if !rules.is_empty() {
            rule[key] = rules.into();
        }
    }
    let mut spec = json!({
        "matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": [rule],
    });
    if let Some(by) = by {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    flow_schema(name, spec)
}

fn flow_schema(name: &str, spec: Value) -> (&'static str, Value) {
    let object = json!({"apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": metadata(name), "spec": spec});
    ("flowschemas", object)
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

/// A service account of `kube-system`.
fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}})
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn everything() -> (Vec<Value>, Vec<Value>) {
    let paths = json!({"verbs": ["*"], "nonResourceURLs": ["*"]});
    (vec![resources(&["*"], "*", &["*"], true)], vec![paths])
}

/// Writes into the FlowSchemas, where it is not there yet, whether the level that each names exists.
pub(super) async fn tell(core: &Core, found: &[(String, bool)]) {
    for (name, exists) in found {
        if let Err(error) = tell_one(core, name, *exists).await {
            tracing::warn!(flow_schema = name, %error, "the status of a FlowSchema cannot be written");
        }
    }
}

async fn tell_one(core: &Core, name: &str, exists: bool) -> Result<(), crate::status::ApiError> {
    let key = minato_mvcc::Key::new(FLOW_SCHEMAS, "", name);
    let Some(stored) = core.memory().get(&key) else { return Ok(()) };
    let stored = parse(&stored)?;
    let level = stored["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
    let (status, reason, rest) =
        if exists { ("False", "Found", "and it exists") } else { ("True", "NotFound", "but there is no such object") };
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {rest}");
    let conditions = stored["status"]["conditions"].as_array().into_iter().flatten();
    let dangling = conditions.into_iter().find(|condition| condition["type"] == "Dangling");
    if dangling.is_some_and(|have| have["status"] == status && have["message"] == message.as_str()) {
        return Ok(());
    }
    let Some(resource) = core.registry.stored("flowcontrol.apiserver.k8s.io", "flowschemas") else { return Ok(()) };
    let user = User::component("system:apiserver", &[MASTERS]);
    let remarks = Remarks::default();
    let target = Target::internal(&resource, "", &user, &remarks);
    let condition = json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": object::time(Timestamp::now()),
    });
    let mut change = |old: &Value| {
        let mut new = old.clone();
        let mut conditions: Vec<Value> = new["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|have| have["type"] != "Dangling");
        conditions.push(condition.clone());
        new["status"] = json!({"conditions": conditions});
        Ok(new)
    };
    core.update(&target, name, UpdateKind::Status, &mut change).await.map(drop)
}
