//! What becomes of what belongs to a deleted object.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

/// The finalizers of the deleted object; `None` if it is gone.
async fn finalizers(client: &Client, path: &str, options: Value) -> Option<Value> {
    let (status, answer) = client.send(Method::DELETE, path, Some(&options)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, object) = client.get(path).await;
    (status == StatusCode::OK).then(|| object["metadata"]["finalizers"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_jobs_and_replication_controllers_stay_unless_the_request_says_otherwise() {
    let server = Server::start().await;
    let client = server.admin();
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]});
    let lasting = json!({"containers": [{"name": "a", "image": "a"}]});
    let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": lasting});
    let kinds = [
        ("/apis/batch/v1/namespaces/default/jobs", json!({"template": {"spec": pod}}), true),
        ("/api/v1/namespaces/default/replicationcontrollers", json!({"template": labelled}), true),
        (
            "/apis/apps/v1/namespaces/default/replicasets",
            json!({"selector": {"matchLabels": {"a": "b"}}, "template": labelled}),
            false,
        ),
    ];
    for (path, spec, stay) in kinds {
        for (policy, expected) in [
            (None, stay.then(|| json!(["orphan"]))),
            (Some("Background"), None),
            (Some("Foreground"), Some(json!(["foregroundDeletion"]))),
            (Some("Orphan"), Some(json!(["orphan"]))),
        ] {
            let name = policy.unwrap_or("none").to_lowercase();
            client.create(path, &json!({"metadata": {"name": name}, "spec": spec})).await;
            let options = policy.map_or_else(|| json!({}), |policy| json!({"propagationPolicy": policy}));
            let left = finalizers(&client, &format!("{path}/{name}"), options).await;
            assert_eq!(left, expected, "{path} {policy:?}");
        }
        // What the object says itself goes before its kind's way.
        let metadata = json!({"name": "said", "finalizers": ["foregroundDeletion"]});
        client.create(path, &json!({"metadata": metadata, "spec": spec})).await;
        let left = finalizers(&client, &format!("{path}/said"), json!({})).await;
        assert_eq!(left, Some(json!(["foregroundDeletion"])), "{path}");
    }
}
