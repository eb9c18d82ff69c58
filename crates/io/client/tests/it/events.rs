use k8s_openapi::api::core::v1::ConfigMap;
use minato_client::EventSink;
use minato_scope::Scope;
use serde_json::{Value, json};

use crate::api::Api;
use crate::until;

fn map(uid: &str) -> ConfigMap {
    let object = json!({ "metadata": { "name": "web", "namespace": "default", "uid": uid } });
    serde_json::from_value(object).unwrap()
}

/// `count reason: message` of all events, sorted.
fn texts(api: &Api) -> Vec<String> {
    let text = |event: &Value| {
        format!("{} {}: {}", event["count"], event["reason"].as_str().unwrap(), event["message"].as_str().unwrap())
    };
    let mut texts: Vec<_> = api.objects("events").iter().map(text).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn events_are_written_and_repeats_are_counted() {
    let (api, scope) = (Api::default(), Scope::root("test"));
    let recorder = EventSink::start(api.client(), &scope).recorder("tester", Some("node-1"));
    recorder.normal(&map("1"), "Created", "Created it");
    recorder.warning(&map("1"), "Failed", "It failed");
    for _ in 0..3 {
        recorder.normal(&map("1"), "Created", "Created it");
    }
    until("the events", || texts(&api), |texts| *texts == ["1 Failed: It failed", "4 Created: Created it"]).await;
    let events = api.objects("events");
    let event = events.iter().find(|event| event["reason"] == "Failed").unwrap();
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["source"], json!({ "component": "tester", "host": "node-1" }));
    assert_eq!(event["reportingComponent"], "tester");
    let object = &event["involvedObject"];
    assert_eq!(
        (object["kind"].as_str(), object["apiVersion"].as_str(), object["uid"].as_str()),
        (Some("ConfigMap"), Some("v1"), Some("1"))
    );
}

#[tokio::test]
async fn an_expired_event_starts_anew() {
    let (api, scope) = (Api::default(), Scope::root("test"));
    let recorder = EventSink::start(api.client(), &scope).recorder("tester", None);
    recorder.normal(&map("1"), "Created", "Created it");
    until("the event", || texts(&api), |texts| texts.len() == 1).await;
    let name = api.objects("events")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    api.lose("events", &name);
    recorder.normal(&map("1"), "Created", "Created it");
    until("another event", || texts(&api), |texts| *texts == ["1 Created: Created it"]).await;
    assert_ne!(api.objects("events")[0]["metadata"]["name"].as_str(), Some(name.as_str()));
}
