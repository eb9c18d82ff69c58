//! Cluster IPs, the ranges they come from and the objects that say whose they are.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const SERVICES: &str = "/api/v1/namespaces/default/services";

async fn owner_of(admin: &Client, address: &Value) -> Option<Value> {
    let path = format!("/apis/networking.k8s.io/v1/ipaddresses/{}", address.as_str().unwrap());
    let (code, found) = admin.get(&path).await;
    (code == StatusCode::OK).then(|| found["spec"]["parentRef"]["name"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_written_down_with_its_service() {
    let server = Server::start().await;
    let admin = server.admin();
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let made = admin.create(SERVICES, &service("web")).await;
    let address = made["spec"]["clusterIP"].clone();
    assert_eq!(owner_of(&admin, &address).await, Some(json!("web")));
    let (_, kubernetes) = admin.get(&format!("{SERVICES}/kubernetes")).await;
    assert_eq!(owner_of(&admin, &kubernetes["spec"]["clusterIP"]).await, Some(json!("kubernetes")));
    // A service that needs no address any more gives it back.
    let mut named = made.clone();
    named["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
    let (code, answer) = admin.put(&format!("{SERVICES}/web"), &named).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    assert_eq!(owner_of(&admin, &address).await, None);
    let mut again = service("other");
    again["spec"]["clusterIP"] = address.clone();
    admin.create(SERVICES, &again).await;
    assert_eq!(owner_of(&admin, &address).await, Some(json!("other")));
    let (code, answer) = admin.send(Method::DELETE, &format!("{SERVICES}/other"), None).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    assert_eq!(owner_of(&admin, &address).await, None);
    // What somebody has written down by hand is taken.
    let by_hand = json!({"metadata": {"name": address}, "spec": {"parentRef": {"resource": "things", "name": "mine"}}});
    admin.create("/apis/networking.k8s.io/v1/ipaddresses", &by_hand).await;
    let (code, answer) = admin.post(SERVICES, &again).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer["message"].as_str().unwrap().ends_with("provided IP is already allocated"), "{answer}");
    // A refused service leaves no address behind.
    let mut refused = service("bad");
    refused["spec"]["ports"] = json!([{"port": 80, "protocol": "TCP", "name": "Not_A_Name"}]);
    refused["spec"]["clusterIP"] = made["spec"]["clusterIP"].clone();
    assert_eq!(admin.post(SERVICES, &refused).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_come_from_every_range_that_is_ready() {
    let server = Server::start().await;
    let admin = server.admin();
    let (_, range) = admin.get(&format!("{RANGES}/kubernetes")).await;
    assert_eq!(range["status"]["conditions"][0]["type"], "Ready", "{range}");
    assert_eq!(range["status"]["conditions"][0]["status"], "True", "{range}");
    let second = json!({"metadata": {"name": "second"}, "spec": {"cidrs": ["10.250.0.0/24"]}});
    let mut range = admin.create(RANGES, &second).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"clusterIP": "10.250.0.9", "ports": [{"port": 80}]}});
    let (code, answer) = admin.post(SERVICES, &service).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("is not in the valid range"), "{answer}");
    range["status"] = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "",
        "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
    let (code, answer) = admin.put(&format!("{RANGES}/second/status"), &range).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    admin.create(SERVICES, &service).await;
    assert_eq!(owner_of(&admin, &json!("10.250.0.9")).await, Some(json!("web")));
}
