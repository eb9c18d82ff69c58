//! Health, metrics, request ids, and who runs when there is more to do than seats.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use minato_apiserver::{ApiServer, User};
use serde_json::json;
use tower::ServiceExt as _;

use crate::server::Server;

/// Code, headers and body of the answer to `user`.
async fn ask(api: &ApiServer, user: User, request: http::request::Builder) -> (StatusCode, HeaderMap, String) {
    let response = api.service_as(user).oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8_lossy(&bytes).into_owned())
}

fn admin() -> User {
    User::component("admin", &["system:masters"])
}

#[tokio::test]
async fn health_checks_have_names() {
    let server = Server::start().await;
    let check = async |path: &str, code: u16, expected: &str| {
        let (found, _, body) = ask(&server.api, admin(), Request::get(path)).await;
        assert_eq!((found.as_u16(), body.contains(expected)), (code, true), "{path}: {body}");
    };
    check("/livez", 200, "ok").await;
    check("/livez/ping", 200, "ok").await;
    check("/readyz?verbose", 200, "[+]etcd-readiness ok\n[+]informer-sync ok\n").await;
    check(
        "/readyz?verbose",
        200,
        "[+]poststarthook/apiservice-openapiv3-controller ok\n[+]shutdown ok\nreadyz check passed",
    )
    .await;
    check(
        "/healthz?verbose",
        200,
        "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]poststarthook/start-apiserver-admission-initializer ok\n",
    )
    .await;
    check("/livez/poststarthook/rbac/bootstrap-roles", 200, "ok").await;
    check("/readyz?verbose&exclude=shutdown", 200, "[+]shutdown excluded: ok").await;
    check("/readyz?verbose&exclude=x", 200, "warn: some health checks cannot be excluded: no matches for \"x\"").await;
    check("/readyz/nothing", 404, "NotFound").await;
    check("/debug/pprof", 404, "NotFound").await;

    server.api.drain();
    check("/readyz", 500, "[-]shutdown failed: reason withheld\nreadyz check failed").await;
    check("/readyz?exclude=shutdown", 200, "ok").await;
    check("/livez", 200, "ok").await;
    check("/api/v1/namespaces/default", 200, "Namespace").await;
}

#[tokio::test]
async fn requests_are_counted_and_carry_an_id() {
    let server = Server::start().await;
    let admin_client = server.admin();
    let (code, _) = admin_client.get("/api/v1/namespaces/default/configmaps").await;
    assert_eq!(code, StatusCode::OK);
    let (code, _) = admin_client.get("/api/v1/namespaces/default/configmaps/nope").await;
    assert_eq!(code, StatusCode::NOT_FOUND);

    let request = Request::get("/api/v1/namespaces/default").header("Audit-ID", "my-own-id");
    let (_, headers, _) = ask(&server.api, admin(), request).await;
    assert_eq!(headers["audit-id"], "my-own-id");

    let (_, headers, text) = ask(&server.api, admin(), Request::get("/metrics")).await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1"#,
        r#"apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1"#,
        r#"apiserver_storage_objects{resource="namespaces"} 4"#,
        "process_start_time_seconds",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let (code, _, body) = ask(&server.api, admin(), Request::get("/api/v1/pods?timeout=soon")).await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn a_full_level_refuses_its_own_and_nobody_else() {
    let server = Server::start().await;
    let client = server.admin();
    let group = "/apis/flowcontrol.apiserver.k8s.io/v1";
    // One share of some 246, for 600 seats: three.
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"},
        }},
    });
    client.create(&format!("{group}/prioritylevelconfigurations"), &level).await;
    let everything =
        json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true});
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "bob"},
        "spec": {
            "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "narrow"},
            "rules": [{"subjects": [{"kind": "User", "user": {"name": "bob"}}], "resourceRules": [everything]}],
        },
    });
    let schema = client.create(&format!("{group}/flowschemas"), &schema).await;
    let uid = schema["metadata"]["uid"].as_str().unwrap().to_owned();

    let bob = || User::component("bob", &[]);
    let get = || Request::get("/api/v1/namespaces/default/configmaps");
    eventually(async || {
        let (_, headers, _) = ask(&server.api, bob(), get()).await;
        headers.get("x-kubernetes-pf-flowschema-uid").is_some_and(|found| found == uid.as_str())
    })
    .await;
    eventually(async || {
        let (_, schema) = client.get(&format!("{group}/flowschemas/bob")).await;
        schema["status"]["conditions"][0]["status"] == "False"
    })
    .await;

    // Requests whose bodies do not end have their seats until they are dropped. Bob may not create: only later is he told.
    let mut held = Vec::new();
    for _ in 0..3 {
        let body = StreamBody::new(futures::stream::pending::<Result<http_body::Frame<Bytes>, std::io::Error>>());
        let request =
            Request::builder().method(Method::POST).uri("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
        let request = request.header("content-type", "application/json").body(body).unwrap();
        held.push(tokio::spawn(server.api.service_as(bob()).oneshot(request)));
    }
    eventually(async || ask(&server.api, bob(), get()).await.0 == StatusCode::TOO_MANY_REQUESTS).await;
    let (_, headers, body) = ask(&server.api, bob(), get()).await;
    assert_eq!(
        (headers["retry-after"].to_str().unwrap(), &*body),
        ("1", "Too many requests, please try again later.\n")
    );
    let (code, ..) = ask(&server.api, User::component("carol", &[]), get()).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    for task in held {
        task.abort();
    }
    eventually(async || ask(&server.api, bob(), get()).await.0 == StatusCode::FORBIDDEN).await;
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it did not come true");
}
