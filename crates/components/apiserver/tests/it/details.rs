//! Answers that conformance looks at closely.

use http::{Method, StatusCode};
use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_two_versions_and_questions_have_none() {
    let server = Server::start().await;
    let admin = server.admin();
    for version in ["v1", "v1beta1"] {
        let asks = format!("application/json;as=Table;v={version};g=meta.k8s.io,application/json");
        let (_, table) = admin.clone().with("accept", &asks).get("/api/v1/namespaces").await;
        assert_eq!(table["apiVersion"], format!("meta.k8s.io/{version}"), "{table}");
        assert_eq!(table["rows"][0]["object"]["apiVersion"], format!("meta.k8s.io/{version}"), "{table}");
    }
    let review = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/"}}});
    let (code, answer) = admin
        .with("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review)
        .await;
    assert_eq!(code, StatusCode::NOT_ACCEPTABLE, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_are_deleted_where_discovery_says_so() {
    let server = Server::start().await;
    let admin = server.admin();
    for (path, expected) in [
        ("/api/v1/namespaces?labelSelector=a", StatusCode::METHOD_NOT_ALLOWED),
        ("/api/v1/configmaps?labelSelector=a", StatusCode::METHOD_NOT_ALLOWED),
        ("/api/v1/namespaces/default/configmaps?labelSelector=a", StatusCode::OK),
        ("/api/v1/nodes?labelSelector=a", StatusCode::OK),
    ] {
        let (code, answer) = admin.send(Method::DELETE, path, None).await;
        assert_eq!(code, expected, "{path}: {answer}");
    }
    let (code, index) = admin.get("/").await;
    assert_eq!(code, StatusCode::OK, "{index}");
    assert!(index["paths"].as_array().unwrap().contains(&json!("/apis/apps/v1")), "{index}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_gets_its_defaults() {
    let server = Server::start().await;
    let admin = server.admin();
    let services = "/api/v1/namespaces/default/services";
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    admin.create(services, &json!({"metadata": {"name": "lb"}, "spec": spec})).await;
    let merge = admin.with("content-type", "application/merge-patch+json");
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}});
    let (code, answer) = merge.send(Method::PATCH, &format!("{services}/lb/status"), Some(&status)).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    assert_eq!(answer["status"]["loadBalancer"]["ingress"][0]["ipMode"], "VIP");
}
