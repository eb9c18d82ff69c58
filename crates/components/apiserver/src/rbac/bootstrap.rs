//! The roles and bindings that every cluster has from its first start (upstream's bootstrap policy).
//!
//! They are made when absent and never overwritten: an administrator's change stays.

use serde_json::{Value, json};

use super::Rule;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const GROUP: &str = "rbac.authorization.k8s.io";

/// `(kind, object)` of every bootstrap role and binding.
pub(crate) fn bootstrap_objects() -> Vec<(&'static str, Value)> {
    let mut objects = Vec::new();
    let health = || paths(&["get"], &["/healthz", "/livez", "/readyz", "/version", "/version/"]);
    let discovery = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz"];
    let discovery: Vec<&str> = discovery.into_iter().chain(["/version", "/version/"]).collect();
    let masters = [("Group", "system:masters")];
    let authenticated = [("Group", "system:authenticated")];
    let everybody = [("Group", "system:authenticated"), ("Group", "system:unauthenticated")];

    let everything = super::index::everything().to_vec();
    objects.extend(bound("cluster-admin", everything.clone(), &masters));
    objects.extend(bound("system:discovery", vec![paths(&["get"], &discovery)], &authenticated));
    objects.extend(bound("system:public-info-viewer", vec![health()], &everybody));
    objects.extend(bound("system:basic-user", basic_user(), &authenticated));
    objects.extend(bound("system:node", node(), &[("Group", "system:nodes")]));
    objects.extend(bound("system:kube-scheduler", scheduler(), &[("User", "system:kube-scheduler")]));
    objects.extend(bound("system:kube-dns", dns(), &[("User", "system:kube-dns")]));
    objects.extend(bound("system:node-proxier", proxier(), &[("User", "system:kube-proxy")]));
    // The garbage collector and the namespace controller delete objects of any kind.
    objects.extend(bound("system:kube-controller-manager", everything, &[("User", "system:kube-controller-manager")]));
    let issuer = vec![paths(&["get"], &["/.well-known/openid-configuration", "/openid/v1/jwks"])];
    objects.extend(bound("system:service-account-issuer-discovery", issuer, &[("Group", "system:serviceaccounts")]));
    objects.push(role(
        "system:monitoring",
        vec![paths(
            &["get"],
            &["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"],
        )],
    ));
    objects.extend([role("admin", admin()), role("edit", edit()), role("view", view())]);
    objects
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|item| (*item).to_owned()).collect()
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Rule {
    Rule { verbs: strings(verbs), api_groups: strings(groups), resources: strings(resources), ..Rule::default() }
}

fn paths(verbs: &[&str], urls: &[&str]) -> Rule {
    Rule { verbs: strings(verbs), non_resource_urls: strings(urls), ..Rule::default() }
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn role(name: &str, rules: Vec<Rule>) -> (&'static str, Value) {
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": metadata(name), "rules": rules,
    });
    ("clusterroles", object)
}

fn bound(name: &str, rules: Vec<Rule>, subjects: &[(&str, &str)]) -> [(&'static str, Value); 2] {
    let subjects: Vec<Value> =
        subjects.iter().map(|(kind, name)| json!({"kind": kind, "apiGroup": GROUP, "name": name})).collect();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata(name),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}, "subjects": subjects,
    });
    [role(name, rules), ("clusterrolebindings", binding)]
}

fn basic_user() -> Vec<Rule> {
    vec![
        rule(&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
    ]
}

fn node() -> Vec<Rule> {
    vec![
        rule(&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
        rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews", "subjectaccessreviews"]),
        rule(READ, &[""], &["services", "configmaps", "secrets", "persistentvolumeclaims", "persistentvolumes"]),
        rule(&["create", "get", "list", "watch", "patch", "update"], &[""], &["nodes"]),
        rule(&["patch", "update"], &[""], &["nodes/status"]),
        rule(&["create", "patch", "update"], &["", "events.k8s.io"], &["events"]),
        rule(&["create", "delete", "get", "list", "watch"], &[""], &["pods"]),
        rule(&["patch", "update"], &[""], &["pods/status"]),
        rule(&["create"], &[""], &["pods/eviction", "serviceaccounts/token"]),
        rule(&["get"], &[""], &["endpoints"]),
        rule(&["create", "delete", "get", "patch", "update"], &["coordination.k8s.io"], &["leases"]),
        rule(READ, &["node.k8s.io"], &["runtimeclasses"]),
        rule(READ, &["storage.k8s.io"], &["volumeattachments", "csidrivers"]),
        rule(READ_WRITE, &["storage.k8s.io"], &["csinodes"]),
        rule(READ_WRITE, &["certificates.k8s.io"], &["certificatesigningrequests"]),
        rule(READ, &["resource.k8s.io"], &["resourceclaims"]),
    ]
}

fn scheduler() -> Vec<Rule> {
    vec![
        rule(&["create", "patch", "update"], &["", "events.k8s.io"], &["events"]),
        rule(&["create", "get", "list", "patch", "update", "watch"], &["coordination.k8s.io"], &["leases"]),
        rule(READ, &[""], &["nodes", "namespaces", "services", "replicationcontrollers"]),
        rule(&["delete", "get", "list", "watch"], &[""], &["pods"]),
        rule(&["create"], &[""], &["bindings", "pods/binding"]),
        rule(&["patch", "update"], &[""], &["pods/status"]),
        rule(READ, &["apps"], &["replicasets", "statefulsets"]),
        rule(READ, &["policy"], &["poddisruptionbudgets"]),
        rule(READ, &[""], &["persistentvolumeclaims", "persistentvolumes"]),
        rule(
            READ,
            &["storage.k8s.io"],
            &["csinodes", "csidrivers", "csistoragecapacities", "storageclasses", "volumeattachments"],
        ),
    ]
}

fn proxier() -> Vec<Rule> {
    vec![
        rule(&["list", "watch"], &[""], &["services", "endpoints", "pods"]),
        rule(READ, &[""], &["nodes"]),
        rule(&["create", "patch", "update"], &["", "events.k8s.io"], &["events"]),
        rule(&["list", "watch"], &["discovery.k8s.io"], &["endpointslices"]),
    ]
}

fn dns() -> Vec<Rule> {
    vec![
        rule(READ, &[""], &["services", "endpoints", "pods", "namespaces"]),
        rule(READ, &["discovery.k8s.io"], &["endpointslices"]),
        rule(&["create", "patch", "update", "delete"], &[""], &["services"]),
        rule(&["create", "patch", "update", "delete"], &["discovery.k8s.io"], &["endpointslices"]),
    ]
}

/// Namespaced resources that users of `edit` write, by group.
const EDITED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "services",
        ],
    ),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
];

fn view() -> Vec<Rule> {
    let mut rules: Vec<Rule> = EDITED.iter().map(|(group, resources)| rule(READ, &[group], resources)).collect();
    rules.extend([
        rule(
            READ,
            &[""],
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces",
                "namespaces/status",
                "persistentvolumeclaims/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
                "serviceaccounts",
                "services/status",
            ],
        ),
        rule(
            READ,
            &["apps"],
            &[
                "controllerrevisions",
                "daemonsets/status",
                "deployments/status",
                "replicasets/status",
                "statefulsets/status",
            ],
        ),
        rule(READ, &["autoscaling"], &["horizontalpodautoscalers/status"]),
        rule(READ, &["batch"], &["cronjobs/status", "jobs/status"]),
        rule(READ, &["networking.k8s.io"], &["ingresses/status"]),
        rule(READ, &["policy"], &["poddisruptionbudgets/status"]),
    ]);
    rules
}

fn edit() -> Vec<Rule> {
    let mut rules = view();
    rules.extend(EDITED.iter().map(|(group, resources)| rule(WRITE, &[group], resources)));
    rules.extend([
        rule(READ, &[""], &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"]),
        rule(READ, &[""], &["secrets"]),
        rule(WRITE, &[""], &["secrets", "serviceaccounts"]),
        rule(&["impersonate"], &[""], &["serviceaccounts"]),
        rule(WRITE, &[""], &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"]),
        rule(&["create"], &[""], &["pods/eviction", "serviceaccounts/token"]),
        rule(&["create", "delete", "deletecollection", "patch", "update"], &[""], &["events"]),
        rule(
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            &["coordination.k8s.io"],
            &["leases"],
        ),
    ]);
    rules
}

fn admin() -> Vec<Rule> {
    let mut rules = edit();
    rules.extend([
        rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews"]),
        rule(READ_WRITE, &[GROUP], &["rolebindings", "roles"]),
    ]);
    rules
}
