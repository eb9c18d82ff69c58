//! Webhooks that change, judge, fail, hang and lie.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hook::Hook;
use crate::server::{Client, Server};

const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

/// A configuration with one webhook: `name.example.com`, about writes of ConfigMaps, and whatever `more` says.
fn configuration(kind: &str, name: &str, hook: &Value, more: Value) -> Value {
    let mut webhook = json!({
        "name": format!("{name}.example.com"), "clientConfig": hook, "admissionReviewVersions": ["v1"],
        "sideEffects": "None", "timeoutSeconds": 5,
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
    });
    if let (Value::Object(webhook), Value::Object(more)) = (&mut webhook, more) {
        webhook.extend(more);
    }
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [webhook]})
}

async fn register(admin: &Client, kind: &str, name: &str, hook: &Value, more: Value) {
    let path = path_of(kind);
    admin.create(&path, &configuration(kind, name, hook, more)).await;
}

fn path_of(kind: &str) -> String {
    format!("/apis/admissionregistration.k8s.io/v1/{}s", kind.to_lowercase())
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "web"}}, "data": {"a": "1"}})
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

#[tokio::test]
async fn objects_are_changed_and_judged() {
    let server = Server::start().await;
    let admin = server.admin();
    let first = Hook::start(|request| {
        let seen = request["object"]["data"]["b"].as_str().unwrap_or("nothing");
        match &request["object"]["data"] {
            Value::Null => json!({"allowed": true}),
            _ => patch(&json!([{"op": "add", "path": "/data/first", "value": seen}])),
        }
    })
    .await;
    let second = Hook::start(|request| match &request["object"]["data"] {
        Value::Null => json!({"allowed": true}),
        _ => patch(&json!([{"op": "add", "path": "/data/b", "value": "2"}])),
    })
    .await;
    let judge = Hook::start(|request| {
        let refused = request["object"]["data"]["first"] == "bad" || request["oldObject"]["metadata"]["name"] == "kept";
        json!({"allowed": !refused, "status": {"message": "not like this", "code": 418, "reason": "Teapot"}})
    })
    .await;
    register(&admin, MUTATING, "a", &first.config, json!({"reinvocationPolicy": "IfNeeded"})).await;
    register(&admin, MUTATING, "b", &second.config, json!({})).await;
    register(&admin, VALIDATING, "judge", &judge.config, json!({})).await;

    let created = admin.create(CONFIGS, &config_map("one")).await;
    // The first was called again, because the second changed the object.
    assert_eq!(created["data"], json!({"a": "1", "b": "2", "first": "2"}));
    assert_eq!((first.asked().len(), second.asked().len()), (2, 1));
    let asked = judge.asked().remove(0);
    let version = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    assert_eq!((&asked["kind"], &asked["requestKind"]), (&version, &version));
    assert_eq!(asked["operation"], "CREATE");
    assert_eq!(asked["namespace"], "default");
    assert_eq!(asked["userInfo"]["username"], "admin");
    assert_eq!(asked["options"]["kind"], "CreateOptions");
    assert_eq!(asked["oldObject"], Value::Null);
    assert_eq!(asked["object"]["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(asked["dryRun"], false);

    // Deletions and dry runs are asked about as well; a refusal has the webhook's words and code.
    admin.create(CONFIGS, &config_map("kept")).await;
    let (code, status) = admin.send(Method::DELETE, &format!("{CONFIGS}/kept"), None).await;
    assert_eq!(code.as_u16(), 418);
    assert_eq!(status["message"], "admission webhook \"judge.example.com\" denied the request: not like this");
    assert_eq!(status["reason"], "Teapot");
    let asked = judge.asked().pop().unwrap();
    assert_eq!((&asked["operation"], &asked["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(asked["oldObject"]["metadata"]["name"], "kept");
    let (code, _) = admin.post(&format!("{CONFIGS}?dryRun=All"), &config_map("two")).await;
    assert_eq!(code, StatusCode::CREATED);
    let asked = judge.asked().pop().unwrap();
    assert_eq!((&asked["dryRun"], &asked["options"]["dryRun"]), (&json!(true), &json!(["All"])));
}

#[tokio::test]
async fn failures_follow_the_policy() {
    let server = Server::start().await;
    let admin = server.admin();
    let hang = Hook::start_raw(|_| "hang".to_owned()).await;
    let garbage = Hook::start_raw(|_| "<html>".to_owned()).await;
    let liar = Hook::start_raw(|_| {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x", "allowed": true}}).to_string()
    })
    .await;
    let endless = Hook::start_raw(|_| "x".repeat(11 << 20)).await;
    let nobody = json!({"url": "https://127.0.0.1:1/hook"});
    let service = json!({"service": {"namespace": "default", "name": "absent"}});
    let untrusted = json!({"url": garbage.config["url"], "caBundle": hang.config["caBundle"]});
    let cases: Vec<(&str, &Value, &str)> = vec![
        ("nobody", &nobody, "dial tcp 127.0.0.1:1: connect: connection refused"),
        (
            "service",
            &service,
            "failed to call webhook: Post \"https://absent.default.svc:443/?timeout=1s\": service \"absent\" not found",
        ),
        ("untrusted", &untrusted, "x509: certificate signed by unknown authority"),
        ("hang", &hang.config, "context deadline exceeded"),
        ("garbage", &garbage.config, "failed to call webhook: "),
        ("liar", &liar.config, "expected response.uid="),
        ("endless", &endless.config, "the answer is longer than"),
    ];
    for (name, config, expected) in cases {
        let path = path_of(MUTATING);
        register(&admin, MUTATING, name, config, json!({"timeoutSeconds": 1})).await;
        let (code, status) = admin.post(CONFIGS, &config_map(name)).await;
        let message = status["message"].as_str().unwrap_or_default();
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{name}: {status}");
        let begin = format!("Internal error occurred: failed calling webhook \"{name}.example.com\": ");
        assert!(message.starts_with(&begin) && message.contains(expected), "{name}: {message}");
        assert_eq!(admin.get(&format!("{CONFIGS}/{name}")).await.0, StatusCode::NOT_FOUND, "{name}");
        let change = configuration(MUTATING, name, config, json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"}));
        let (code, answer) = admin.put(&format!("{path}/{name}"), &change).await;
        assert_eq!(code, StatusCode::OK, "{answer}");
        admin.create(CONFIGS, &config_map(name)).await;
        let (code, _) = admin.send(Method::DELETE, &format!("{path}/{name}"), None).await;
        assert_eq!(code, StatusCode::OK);
    }
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused() {
    let server = Server::start().await;
    let admin = server.admin();
    for (name, operation, expected) in [
        (
            "absent",
            json!({"op": "remove", "path": "/data/absent"}),
            "remove operation does not apply: doc is missing path: \"/data/absent\"",
        ),
        (
            "shape",
            json!({"op": "replace", "path": "/data", "value": 7}),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap",
        ),
        (
            "kind",
            json!({"op": "replace", "path": "/kind", "value": "Secret"}),
            "Secret in version \"v1\" cannot be handled as a ConfigMap",
        ),
    ] {
        let hook = Hook::start(move |_| patch(&json!([operation]))).await;
        register(&admin, MUTATING, name, &hook.config, json!({"failurePolicy": "Ignore"})).await;
        let (code, status) = admin.post(CONFIGS, &config_map(name)).await;
        assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR, "{name}: {status}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("Internal error occurred: ") && message.contains(expected), "{name}: {message}");
        admin.send(Method::DELETE, &format!("{}/{name}", path_of(MUTATING)), None).await;
    }
    // An update stays one of the same object.
    let created = admin.create(CONFIGS, &config_map("stays")).await;
    let hook = Hook::start(|request| match request["operation"].as_str() {
        Some("UPDATE") => patch(&json!([{"op": "replace", "path": "/metadata/name", "value": "other"}])),
        _ => json!({"allowed": true}),
    })
    .await;
    register(&admin, MUTATING, "renames", &hook.config, json!({})).await;
    let (code, status) = admin.put(&format!("{CONFIGS}/stays"), &created).await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{status}");
}

#[tokio::test]
async fn only_what_matches_is_asked() {
    let server = Server::start().await;
    let admin = server.admin();
    let hook = Hook::start(|_| json!({"allowed": true})).await;
    let all = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    register(&admin, VALIDATING, "all", &hook.config, json!({"rules": all})).await;
    // Configurations of admission itself are exempt.
    assert_eq!(hook.asked().len(), 0);
    admin.create("/api/v1/namespaces", &json!({"metadata": {"name": "team", "labels": {"env": "prod"}}})).await;
    assert_eq!(hook.asked()[0]["name"], "team");
    admin.send(Method::DELETE, &format!("{}/all", path_of(VALIDATING)), None).await;
    hook.asked();

    let cases = [
        (json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}), "team", true),
        (json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}}), "default", false),
        (json!({"objectSelector": {"matchLabels": {"app": "web"}}}), "default", true),
        (json!({"objectSelector": {"matchLabels": {"app": "db"}}}), "default", false),
        (json!({"matchConditions": [{"name": "mine", "expression": "object.data.a == '1'"}]}), "default", true),
        (
            json!({"matchConditions": [{"name": "mine", "expression": "request.userInfo.username != 'admin'"}]}),
            "default",
            false,
        ),
        (
            json!({"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]}),
            "default",
            false,
        ),
        (
            json!({"rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "scope": "Cluster"}]}),
            "default",
            false,
        ),
        (
            json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": "Namespaced"}]}),
            "team",
            true,
        ),
    ];
    for (index, (more, namespace, expected)) in cases.into_iter().enumerate() {
        let name = format!("case-{index}");
        register(&admin, VALIDATING, &name, &hook.config, more.clone()).await;
        admin.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &config_map(&name)).await;
        assert_eq!(!hook.asked().is_empty(), expected, "{more}");
        admin.send(Method::DELETE, &format!("{}/{name}", path_of(VALIDATING)), None).await;
    }
    // A condition that fails refuses.
    let broken = json!({"matchConditions": [{"name": "broken", "expression": "object.nope == 1"}]});
    register(&admin, VALIDATING, "broken", &hook.config, broken).await;
    let (code, status) = admin.post(CONFIGS, &config_map("broken")).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.contains("expression 'object.nope == 1' resulted in error: no such key: nope"), "{message}");
}

#[tokio::test]
async fn subresources_versions_and_connections() {
    let server = Server::start().await;
    let admin = server.admin();
    let hook = Hook::start(|request| {
        json!({"allowed": request["operation"] != "CONNECT", "status": {"message": "no shells"}, "warnings": ["careful"]})
    })
    .await;
    let rules = json!([
        {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]},
        {"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]},
        {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/exec"]},
    ]);
    register(&admin, VALIDATING, "parts", &hook.config, json!({"rules": rules})).await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    admin.create(deployments, &json!({"metadata": {"name": "web"}, "spec": spec})).await;
    assert_eq!(hook.asked().len(), 0);
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 3}});
    let (code, answer) = admin.put(&format!("{deployments}/web/scale"), &scale).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    let asked = hook.asked().remove(0);
    assert_eq!(asked["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!(asked["subResource"], "scale");
    assert_eq!((&asked["object"]["spec"]["replicas"], &asked["oldObject"]["spec"]["replicas"]), (&json!(3), &json!(1)));

    // The rule names v1: the object is shown in v1, the request is known to be in v2.
    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let scaler = json!({"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}});
    admin.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", &scaler).await;
    let asked = hook.asked().remove(0);
    assert_eq!((&asked["kind"]["version"], &asked["requestKind"]["version"]), (&json!("v1"), &json!("v2")));
    assert_eq!(asked["object"]["apiVersion"], "autoscaling/v1");

    let (code, status) =
        admin.post("/api/v1/namespaces/default/pods/x/exec?command=sh&container=c&stdin=true", &Value::Null).await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{status}");
    assert_eq!(status["message"], "admission webhook \"parts.example.com\" denied the request: no shells");
    let asked = hook.asked().remove(0);
    assert_eq!(
        asked["object"],
        json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "container": "c", "command": ["sh"]})
    );
}
