//! Bodies that nobody should send: each refused or mended as upstream does, in words that say what is wrong, with nothing
//! half done.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::Server;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_is_said_of_a_body_has_bounds() {
    let server = Server::start().await;
    let client = server.admin();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    client.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let variables: Vec<Value> = (0..10_000).map(|_| json!({"name": "A", "value": "x"})).collect();
    let container = json!({"name": "a", "image": "b", "env": variables});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]},
    });
    let pods = "/api/v1/namespaces/default/pods?dryRun=All";
    let (code, answer, warnings) = client.send_for_warnings(Method::POST, pods, Some(&pod)).await;
    assert_eq!(code, StatusCode::CREATED, "{answer}");
    let characters: usize = warnings.iter().map(String::len).sum();
    assert!((1_000..6_000).contains(&characters), "{characters}");

    let owners: Vec<Value> = (0..10_000)
        .map(|i| json!({"apiVersion": "v1", "kind": "Pod", "name": format!("p{i}"), "uid": "1", "controller": true}))
        .collect();
    let owned =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": owners}});
    let (code, answer) = client.post(CONFIG_MAPS, &owned).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(message(&answer).contains("Only one reference can have Controller set to true"));
    assert!(answer.to_string().len() < 8 << 20);
    let (code, _) = client.get(&format!("{CONFIG_MAPS}/owned")).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}
