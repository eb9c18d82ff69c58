//! The audit log: what a policy selects is told, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use minato_apiserver::{AuditOptions, BatchOptions, Config, FileFormat, FileOptions};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::remote::Peer;
use crate::server::Server;
use crate::serving::eventually;

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver", "system:kube-aggregator"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: Request, verbs: [patch]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata, nonResourceURLs: ["/version"]}
"#;

#[tokio::test]
async fn what_the_policy_selects_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, log) = (directory.path().join("policy.yaml"), directory.path().join("log/audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let format = FileFormat::Json;
    let file =
        FileOptions { path: log.clone(), age_days_max: 0, backups_max: 0, size_mib_max: 100, compress: false, format };
    let audit = AuditOptions { policy_file: Some(policy), file: Some(file), ..AuditOptions::default() };
    let server = Server::start_with(Config { audit, ..Config::default() }).await;
    let client = server.admin();
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    client.create("/api/v1/namespaces/default/configmaps", &config_map).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hidden"}});
    client.create("/api/v1/namespaces/default/secrets", &secret).await;
    assert_eq!(client.get("/api/v1/namespaces/default/configmaps/b").await.0, StatusCode::NOT_FOUND);
    client.get("/version").await;
    client.get("/livez").await;
    client.get("/api/v1/namespaces/default/pods").await;
    let alice = server.user("alice", &[]);
    assert_eq!(alice.get("/api/v1/namespaces/default/configmaps/a").await.0, StatusCode::FORBIDDEN);
    let boss = server.admin().with("impersonate-user", "alice");
    boss.get("/api/v1/configmaps").await;

    server.api.flush().await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hidden") && !text.contains("aGlkZGVu"), "{text}");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<Value> = events
        .iter()
        .map(|event| {
            json!([
                event["level"],
                event["verb"],
                event["objectRef"]["resource"],
                event["objectRef"]["name"],
                event["responseStatus"]["code"],
                event["annotations"]["authorization.k8s.io/decision"],
            ])
        })
        .collect();
    let expected = [
        json!(["RequestResponse", "create", "configmaps", "a", 201, "allow"]),
        json!(["Metadata", "create", "secrets", "s", 201, "allow"]),
        json!(["RequestResponse", "get", "configmaps", "b", 404, "allow"]),
        json!(["Metadata", "get", null, null, 200, "allow"]),
        json!(["RequestResponse", "get", "configmaps", "a", 403, "forbid"]),
        json!(["RequestResponse", "list", "configmaps", null, 403, "forbid"]),
    ];
    assert_eq!(told, expected, "{text}");
    let created = &events[0];
    assert_eq!(created["requestObject"]["data"]["k"], "v");
    assert_eq!(created["responseObject"]["metadata"]["name"], "a");
    assert_eq!(created["stage"], "ResponseComplete");
    assert_eq!(created["requestURI"], "/api/v1/namespaces/default/configmaps");
    assert_eq!(events[2]["responseStatus"]["reason"], "NotFound");
    let impersonated = &events[5];
    assert_eq!(
        (&impersonated["user"]["username"], &impersonated["impersonatedUser"]["username"]),
        (&json!("admin"), &json!("alice"))
    );
}

#[tokio::test]
async fn a_policy_that_is_none_keeps_the_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    std::fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]").unwrap();
    let file = FileOptions {
        path: directory.path().join("audit.log"),
        age_days_max: 0,
        backups_max: 0,
        size_mib_max: 0,
        compress: false,
        format: FileFormat::Json,
    };
    let audit = AuditOptions { policy_file: Some(policy.clone()), file: Some(file), ..AuditOptions::default() };
    let error = Server::fails(Config { audit, ..Config::default() });
    assert!(error.contains("audit-policy-file") && error.contains(&policy.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_line_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, log) = (directory.path().join("policy.yaml"), directory.path().join("audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let file = FileOptions {
        path: log.clone(),
        age_days_max: 0,
        backups_max: 0,
        size_mib_max: 100,
        compress: false,
        format: FileFormat::Legacy,
    };
    let audit = AuditOptions { policy_file: Some(policy), file: Some(file), ..AuditOptions::default() };
    let server = Server::start_with(Config { audit, ..Config::default() }).await;
    server.admin().with("user-agent", "me").get("/api/v1/namespaces/default/configmaps/b").await;
    server.api.flush().await;
    let text = std::fs::read_to_string(&log).unwrap();
    let line = text.lines().find(|line| line.contains("configmaps/b")).unwrap();
    let (_, told) = line.split_once(" AUDIT: ").unwrap();
    let (id, told) = told.split_once(' ').unwrap();
    assert!(id.starts_with("id=\""), "{line}");
    let expected = r#"stage="ResponseComplete" ip="<unknown>" method="get" user="admin" groups="system:masters","system:authenticated" as="<self>" asgroups=<lookup> user-agent="me" namespace="default" uri="/api/v1/namespaces/default/configmaps/b" response="404""#;
    assert_eq!(told, expected);
}

/// A server that takes events, but not at once.
#[tokio::test]
async fn a_webhook_gets_every_event_once() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let peer = Peer::start(move |_, _, list| {
        let mut asked = noted.lock();
        asked.push(list.clone());
        match asked.len() {
            1 => (StatusCode::SERVICE_UNAVAILABLE, json!({"message": "later"})),
            _ => (StatusCode::OK, json!({})),
        }
    })
    .await;
    let batches = BatchOptions {
        batch_events_max: 3,
        batch_wait_max: Duration::from_millis(50),
        initial_backoff: Duration::from_millis(20),
        ..BatchOptions::default()
    };
    let audit = AuditOptions {
        policy_file: Some(policy),
        webhook_config_file: Some(peer.kubeconfig()),
        webhook_batches: batches,
        ..AuditOptions::default()
    };
    let server = Server::start_with(Config { audit, ..Config::default() }).await;
    let client = server.admin();
    for name in 0..7 {
        client.get(&format!("/api/v1/namespaces/default/configmaps/absent-{name}")).await;
    }
    let told = || -> Vec<String> {
        let lists = asked.lock().clone();
        let taken = lists.iter().skip(1).flat_map(|list| list["items"].as_array().cloned().unwrap_or_default());
        let names = taken.filter_map(|event| event["objectRef"]["name"].as_str().map(str::to_owned));
        names.filter(|name| name.starts_with("absent-")).collect()
    };
    eventually(async || told().len() >= 7).await;
    assert_eq!(told(), (0..7).map(|name| format!("absent-{name}")).collect::<Vec<_>>());
    for list in asked.lock().iter() {
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
        assert!(list["items"].as_array().unwrap().len() <= 3);
        assert_eq!(list["items"][0]["kind"], "Event");
    }
}
