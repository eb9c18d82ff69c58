//! ResourceQuotas: charged with the write, counted when objects go.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";

async fn start(hard: Value) -> (Server, Client) {
    let server = Server::start().await;
    let admin = server.admin();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    admin.create("/api/v1/namespaces/default/resourcequotas", &quota).await;
    (server, admin)
}

/// Waits until the quota says that `used` is used.
async fn counted(client: &Client, used: Value) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, quota) = client.get(QUOTA).await;
        if quota["status"]["used"] == used {
            return;
        }
        assert!(Instant::now() < end, "{} instead of {used}", quota["status"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_creates_never_exceed_together() {
    let (server, admin) = start(json!({"configmaps": "10", "count/configmaps": "12"})).await;
    counted(&admin, json!({"configmaps": "0", "count/configmaps": "0"})).await;
    let creates = (0..40).map(|index| {
        let client = server.admin();
        tokio::spawn(async move { client.post(MAPS, &config_map(&format!("m{index}"))).await })
    });
    let mut made = 0;
    for outcome in futures::future::join_all(creates).await {
        let (code, answer) = outcome.unwrap();
        if code == StatusCode::CREATED {
            made += 1;
        } else {
            let message = answer["message"].as_str().unwrap();
            let expected =
                "is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=10, limited: configmaps=10";
            assert!(message.ends_with(expected), "{message}");
        }
    }
    assert_eq!(made, 10);
    counted(&admin, json!({"configmaps": "10", "count/configmaps": "10"})).await;
    let (_, list) = admin.get(MAPS).await;
    let victim = list["items"][0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(admin.send(Method::DELETE, &format!("{MAPS}/{victim}"), None).await.0, StatusCode::OK);
    counted(&admin, json!({"configmaps": "9", "count/configmaps": "9"})).await;
    // A dry run is judged and not charged; a name that is taken costs nothing.
    assert_eq!(admin.post(&format!("{MAPS}?dryRun=All"), &config_map("dry")).await.0, StatusCode::CREATED);
    let taken = list["items"][1]["metadata"]["name"].as_str().unwrap();
    assert_eq!(admin.post(MAPS, &config_map(taken)).await.0, StatusCode::CONFLICT);
    admin.create(MAPS, &config_map("last")).await;
    assert_eq!(admin.post(MAPS, &config_map("more")).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn usage_follows_pods_and_services() {
    // The service `kubernetes` is there already.
    let (_server, admin) =
        start(json!({"pods": "2", "requests.cpu": "1", "services": "5", "services.nodeports": "1"})).await;
    let used = |pods: &str, cpu: &str, services: &str, ports: &str| json!({"pods": pods, "requests.cpu": cpu, "services": services, "services.nodeports": ports});
    counted(&admin, used("0", "0", "1", "0")).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let _ = admin.post("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, resources: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "x", "resources": resources}]}})
    };
    let (code, answer) = admin.post(pods, &pod("a", json!({}))).await;
    assert_eq!(
        (code, &answer["message"]),
        (StatusCode::FORBIDDEN, &json!("pods \"a\" is forbidden: failed quota: q: must specify requests.cpu for: c"))
    );
    let mut made = admin.create(pods, &pod("a", json!({"requests": {"cpu": "600m"}}))).await;
    counted(&admin, used("1", "600m", "1", "0")).await;
    let (_, answer) = admin.post(pods, &pod("b", json!({"requests": {"cpu": "500m"}}))).await;
    assert_eq!(
        answer["message"],
        "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
    made["status"]["phase"] = "Succeeded".into();
    assert_eq!(admin.put(&format!("{pods}/a/status"), &made).await.0, StatusCode::OK);
    counted(&admin, used("0", "0", "1", "0")).await;

    let services = "/api/v1/namespaces/default/services";
    let service = |kind: &str, ports: usize| {
        let ports: Vec<Value> = (0..ports).map(|port| json!({"name": format!("p{port}"), "port": 80 + port})).collect();
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": kind, "ports": ports}})
    };
    let (code, answer) = admin.post(services, &service("NodePort", 2)).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
    let mut made = admin.create(services, &service("ClusterIP", 2)).await;
    made["spec"]["type"] = "NodePort".into();
    let (code, answer) = admin.put(&format!("{services}/s"), &made).await;
    assert_eq!(
        (code, &answer["message"]),
        (
            StatusCode::FORBIDDEN,
            &json!(
                "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
            )
        )
    );
    assert_eq!(admin.send(Method::DELETE, &format!("{services}/s"), None).await.0, StatusCode::OK);
    admin.create(services, &service("NodePort", 1)).await;
    counted(&admin, used("0", "0", "2", "1")).await;
}
