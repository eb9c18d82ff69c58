//! The scale of an object, changed by many at once.

use http::{Method, StatusCode};
use serde_json::json;

use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn patches_that_name_no_version_all_hold() {
    let server = Server::start().await;
    let admin = server.admin();
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let made = admin.create(deployments, &json!({"metadata": {"name": "web"}, "spec": spec})).await;
    let scale = format!("{deployments}/web/scale");
    let admin = admin.with("content-type", "application/merge-patch+json");
    let patches: Vec<_> = (0..32).map(|replicas| json!({"spec": {"replicas": replicas}})).collect();
    let answers = patches.iter().map(|patch| admin.send(Method::PATCH, &scale, Some(patch)));
    for (code, answer) in futures::future::join_all(answers).await {
        assert_eq!(code, StatusCode::OK, "{answer}");
    }
    // One that names a version holds for that version alone.
    let old = json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"replicas": 1}});
    let (code, answer) = admin.send(Method::PATCH, &scale, Some(&old)).await;
    assert_eq!(code, StatusCode::CONFLICT, "{answer}");
}
