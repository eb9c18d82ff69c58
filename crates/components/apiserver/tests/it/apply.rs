//! Server-side apply, and who is noted for what.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Client, Server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: &str = "application/apply-patch+yaml";

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data})
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    })
}

async fn apply(client: &Client, path: &str, body: &Value) -> (StatusCode, Value) {
    client.send(Method::PATCH, path, Some(body)).await
}

/// Manager, operation, subresource of each entry.
fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|entry| [text(entry, "manager"), text(entry, "operation"), text(entry, "subresource")].join(" "))
        .collect()
}

#[tokio::test]
async fn configurations_are_applied() {
    let server = Server::start().await;
    let client = server.admin().with("content-type", APPLY);
    let mine = format!("{MAPS}/one?fieldManager=mine");
    let (code, made) = apply(&client, &mine, &map(json!({"a": "1", "b": "1"}))).await;
    assert_eq!((code, managers(&made)), (StatusCode::CREATED, vec!["mine Apply ".to_owned()]));
    let (code, same) = apply(&client, &mine, &map(json!({"a": "1", "b": "1"}))).await;
    assert_eq!((code, &same), (StatusCode::OK, &made), "the same again is no write");
    let (_, less) = apply(&client, &mine, &map(json!({"a": "1"}))).await;
    assert_eq!(less["data"], json!({"a": "1"}));

    let theirs = format!("{MAPS}/one?fieldManager=theirs");
    let (code, refused) = apply(&client, &theirs, &map(json!({"a": "2"}))).await;
    assert_eq!(code, StatusCode::CONFLICT);
    assert_eq!(refused["reason"], "Conflict");
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"mine\": .data.a");
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"mine\"", "field": ".data.a"}])
    );
    let (_, dry) = apply(&client, &format!("{theirs}&force=true&dryRun=All"), &map(json!({"a": "2"}))).await;
    assert_eq!(dry["data"]["a"], "2");
    assert_eq!(client.get(&format!("{MAPS}/one")).await.1, less, "a dry run writes nothing");
    let (_, forced) = apply(&client, &format!("{theirs}&force=true"), &map(json!({"a": "2"}))).await;
    assert_eq!(managers(&forced), ["theirs Apply "], "who owns nothing any more is not noted");
}

#[tokio::test]
async fn what_is_wanted_empty_is_owned_and_left_out() {
    let server = Server::start().await;
    let client = server.admin().with("content-type", APPLY);
    let mut wanted = deployment(1);
    wanted["spec"]["template"]["spec"]["containers"][0]["args"] = json!([]);
    let path = format!("{DEPLOYMENTS}/web?fieldManager=m");
    let (_, made) = apply(&client, &path, &wanted).await;
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert!(container.get("args").is_none(), "{container}");
    let owned = "/metadata/managedFields/0/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"c\"}/f:args";
    assert_eq!(made.pointer(owned), Some(&json!({})));
    assert_eq!(apply(&client, &path, &wanted).await.1, made, "the same again is no write");
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let server = Server::start().await;
    let client = server.admin().with("content-type", APPLY);
    server.admin().create(MAPS, &map(json!({}))).await;
    let named = |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let cases = [
        (
            "",
            map(json!({})),
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        ("fieldManager=m", named(json!({"managedFields": [{}]})), 400, "metadata.managedFields must be nil"),
        (
            "fieldManager=m",
            json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "one"}}),
            400,
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1",
        ),
        (
            "fieldManager=m",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "date": {}}),
            500,
            "failed to create typed patch object (/one; /v1, Kind=ConfigMap): .date: field not declared in schema",
        ),
        (
            "fieldManager=m",
            named(json!({"name": "two"})),
            400,
            "the name of the object (two) does not match the name on the URL (one)",
        ),
        (
            "fieldManager=m",
            named(json!({"resourceVersion": "1"})),
            409,
            "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your changes to the latest version and try again",
        ),
    ];
    for (query, body, code, message) in cases {
        let (found, answer) = apply(&client, &format!("{MAPS}/one?{query}"), &body).await;
        assert_eq!((found.as_u16(), answer["message"].as_str()), (code, Some(message)));
    }
    let (code, answer) = apply(&client, &format!("{MAPS}/new?fieldManager=m"), &named(json!({"uid": "u"}))).await;
    assert_eq!(code, StatusCode::CONFLICT, "{answer}");
    let reader = server.user("reader", &["system:nobody"]).with("content-type", APPLY);
    let (code, _) = apply(&reader, &format!("{MAPS}/new?fieldManager=m"), &named(json!({}))).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn other_writes_are_noted() {
    let server = Server::start().await;
    let client = server.admin().with("user-agent", "maker/1.0 (linux)");
    let made = client.create(DEPLOYMENTS, &deployment(1)).await;
    assert_eq!(managers(&made), ["maker Update "]);
    let owned = &made["metadata"]["managedFields"][0];
    assert_eq!(owned["fieldsType"], "FieldsV1");
    assert_eq!(owned["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
    assert!(owned["fieldsV1"].get("f:status").is_none(), "{owned}");

    // The same object again, as a client that knows nothing of managers sends it.
    let mut again = made.clone();
    again["metadata"].as_object_mut().unwrap().remove("managedFields");
    let path = format!("{DEPLOYMENTS}/web");
    assert_eq!(client.put(&path, &again).await.1, made);

    let mut reported = made.clone();
    reported["status"] = json!({"replicas": 1});
    let (_, reported) = client.put(&format!("{path}/status?fieldManager=reporter"), &reported).await;
    assert_eq!(managers(&reported), ["maker Update ", "reporter Update status"]);

    let scale =
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 3}});
    let applier = server.admin().with("content-type", APPLY);
    let scaler = format!("{path}/scale?fieldManager=scaler");
    assert_eq!(apply(&applier, &scaler, &scale).await.0, StatusCode::CONFLICT);
    let (code, scaled) = apply(&applier, &format!("{scaler}&force=true"), &scale).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (StatusCode::OK, &json!(3)));
    let (_, object) = client.get(&path).await;
    assert_eq!(managers(&object), ["scaler Apply scale", "maker Update ", "reporter Update status"]);
    assert!(object["metadata"]["managedFields"][1]["fieldsV1"]["f:spec"].get("f:replicas").is_none());

    let merge = server.admin().with("content-type", "application/merge-patch+json");
    let reset = json!({"metadata": {"managedFields": [{}]}});
    let (_, bare) = merge.send(Method::PATCH, &path, Some(&reset)).await;
    assert_eq!(managers(&bare), [""; 0]);
}
