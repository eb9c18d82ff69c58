//! Roles, bindings, who may write them, and what reviews say.

use http::StatusCode;
use serde_json::{Value, json};

use crate::server::Server;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn role(kind: &str, name: &str, rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, name: &str, role: (&str, &str), user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let server = Server::start().await;
    let admin = server.admin();
    let manager = json!([
        rule(&["*"], &["rbac.authorization.k8s.io"], &["roles", "rolebindings"]),
        rule(&["get", "list"], &[""], &["pods"]),
    ]);
    // `*` on roles has `escalate` and `bind` in it, so verbs are named.
    let mut manager = role("ClusterRole", "manager", manager);
    manager["rules"][0]["verbs"] = json!(["create", "update", "patch", "get", "delete"]);
    admin.create(&format!("{RBAC}/clusterroles"), &manager).await;
    admin
        .create(
            &format!("{RBAC}/namespaces/default/rolebindings"),
            &binding("RoleBinding", "m", ("ClusterRole", "manager"), "mia"),
        )
        .await;
    let mia = server.user("mia", &["dev"]);
    let roles = format!("{RBAC}/namespaces/default/roles");
    mia.create(&roles, &role("Role", "fine", json!([rule(&["get"], &[""], &["pods"])]))).await;

    let greedy = role("Role", "greedy", json!([rule(&["get", "delete"], &[""], &["pods", "secrets"])]));
    let (code, answer) = mia.post(&roles, &greedy).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        answer["message"],
        "roles.rbac.authorization.k8s.io \"greedy\" is forbidden: user \"mia\" (groups=[\"dev\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}"
    );
    // What is there may be changed where its rules stay.
    admin.create(&roles, &greedy).await;
    let (_, mut stored) = mia.get(&format!("{roles}/greedy")).await;
    stored["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(mia.put(&format!("{roles}/greedy"), &stored).await.0, StatusCode::OK);
    stored["rules"] = json!([rule(&["update"], &[""], &["pods"])]);
    stored["metadata"]["resourceVersion"] = Value::Null;
    assert_eq!(mia.put(&format!("{roles}/greedy"), &stored).await.0, StatusCode::FORBIDDEN);

    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let (code, answer) = mia.post(&bindings, &binding("RoleBinding", "up", ("Role", "greedy"), "mia")).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
    let (code, answer) = mia.post(&bindings, &binding("RoleBinding", "up", ("Role", "absent"), "mia")).await;
    assert_eq!(
        (code, &answer["message"]),
        (StatusCode::NOT_FOUND, &json!("roles.rbac.authorization.k8s.io \"absent\" not found"))
    );
    mia.create(&bindings, &binding("RoleBinding", "share", ("Role", "fine"), "tom")).await;

    // The verbs `bind` and `escalate` lift the limit.
    let lift = json!([
        {"verbs": ["bind", "escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "resourceNames": ["greedy"]},
    ]);
    admin.create(&roles, &role("Role", "lift", lift)).await;
    admin.create(&bindings, &binding("RoleBinding", "lift", ("Role", "lift"), "mia")).await;
    mia.create(&bindings, &binding("RoleBinding", "up", ("Role", "greedy"), "mia")).await;
    assert_eq!(mia.put(&format!("{roles}/greedy"), &stored).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_role_reference_cannot_change() {
    let server = Server::start().await;
    let admin = server.admin();
    let bindings = format!("{RBAC}/clusterrolebindings");
    admin.create(&bindings, &binding("ClusterRoleBinding", "b", ("ClusterRole", "view"), "a")).await;
    let (code, answer) =
        admin.put(&format!("{bindings}/b"), &binding("ClusterRoleBinding", "b", ("ClusterRole", "edit"), "a")).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["message"].as_str().unwrap().contains("cannot change roleRef"), "{answer}");
}

#[tokio::test]
async fn refusals_and_reviews_give_reasons() {
    let server = Server::start().await;
    let admin = server.admin();
    let bindings = format!("{RBAC}/clusterrolebindings");
    admin.create(&bindings, &binding("ClusterRoleBinding", "lost", ("ClusterRole", "gone"), "ann")).await;
    let (code, answer) = server.user("ann", &[]).get("/api/v1/namespaces/default/pods").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        answer["message"],
        "pods is forbidden: User \"ann\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"
    );

    let review =
        |spec: Value| json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let pods = json!({"verb": "list", "resource": "pods", "namespace": "a"});
    let answer = admin
        .create(
            path,
            &review(json!({"user": "u", "groups": ["system:monitoring"],
        "nonResourceAttributes": {"verb": "get", "path": "/metrics"}})),
        )
        .await;
    assert_eq!(
        answer["status"],
        json!({"allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"system:monitoring\" of ClusterRole \"system:monitoring\" to Group \"system:monitoring\""})
    );
    let answer = admin.create(path, &review(json!({"user": "u", "resourceAttributes": pods}))).await;
    assert_eq!(answer["status"], json!({"allowed": false}));
    for (spec, expected) in [
        (
            json!({"resourceAttributes": pods}),
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ),
        (json!({"user": "u"}), "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            json!({"user": "u", "resourceAttributes": {"verb": "list", "fieldSelector": {}}}),
            "when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
        ),
        (
            json!({"user": "u", "resourceAttributes": {"labelSelector": {"requirements": [{"key": "a", "operator": "In"}]}}}),
            "spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
    ] {
        let (code, answer) = admin.post(path, &review(spec)).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer["message"].as_str().unwrap().contains(expected), "{answer}");
    }
    let selected = json!({"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": {"rawSelector": "a=b,"}}});
    assert_eq!(admin.create(path, &review(selected)).await["status"]["allowed"], false);
}

#[tokio::test]
async fn bootstrap_roles_are_kept() {
    let server = Server::start().await;
    let admin = server.admin();
    let (_, mut role) = admin.get(&format!("{RBAC}/clusterroles/system:basic-user")).await;
    assert_eq!(role["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
    role["rules"] = json!([rule(&["get"], &["example.com"], &["things"])]);
    admin.put(&format!("{RBAC}/clusterroles/system:basic-user"), &role).await;
    let server = server.restart().await;
    let (_, role) = server.admin().get(&format!("{RBAC}/clusterroles/system:basic-user")).await;
    let rules = role["rules"].as_array().unwrap();
    assert_eq!(rules[0], rule(&["get"], &["example.com"], &["things"]));
    assert_eq!(rules.len(), 4, "{role}");
}
