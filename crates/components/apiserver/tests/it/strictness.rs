//! `fieldValidation=Strict`: what is unknown or said twice, in upstream's words, by the body's form.

use http::{Method, StatusCode};
use serde_json::json;

use crate::server::Server;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const BOATS: &str = "/apis/example.org/v1/namespaces/default/boats";

async fn check(server: &Server, (media, method, path): (&str, Method, &str), body: &str, expected: &str) {
    let client = server.admin().with("content-type", media);
    let strict = format!("{path}?fieldValidation=Strict&fieldManager=test");
    let (code, answer, _) = client.send_text(method.clone(), &strict, body.to_owned()).await;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(!code.is_success() && message.ends_with(expected), "{media} {body}: {code} {message}");
    if code == StatusCode::BAD_REQUEST {
        let lax = format!("{path}?fieldValidation=Warn&fieldManager=test&dryRun=All");
        let (code, answer, warnings) = client.send_text(method, &lax, body.to_owned()).await;
        assert!(code.is_success() && !warnings.is_empty(), "{media} {body}: {code} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_kinds() {
    let server = Server::start().await;
    server.admin().create(SERVICES, &json!({"metadata": {"name": "one"}, "spec": {"ports": [{"port": 1}]}})).await;
    let one = format!("{SERVICES}/one");
    let post = |media| (media, Method::POST, SERVICES);
    let patch = |media| (media, Method::PATCH, one.as_str());
    // What is unknown is not said to be there twice as well.
    let json = r#"{"metadata":{"name":"two"},"spec":{"ports":[{"port":1}],"type":"ClusterIP","type":"NodePort","x":1,"x":{"y":2,"y":3}}}"#;
    let expected = r#"strict decoding error: duplicate field "spec.type", unknown field "spec.x""#;
    check(&server, post("application/json"), json, expected).await;
    let yaml = "\nmetadata:\n  name: two\nspec:\n  ports: [{port: 1}]\n  type: ClusterIP\n  type: NodePort\n  x: 1\n";
    let expected = "strict decoding error: yaml: unmarshal errors:\n  line 7: key \"type\" already set in map, \
        unknown field \"spec.x\"";
    check(&server, post("application/yaml"), yaml, expected).await;
    let merge = r#"{"spec":{"type":"ClusterIP","type":"NodePort","x":1}}"#;
    let expected = r#"strict decoding error: duplicate field "spec.type", unknown field "spec.x""#;
    check(&server, patch("application/merge-patch+json"), merge, expected).await;
    check(&server, patch("application/strategic-merge-patch+json"), merge, expected).await;
    let operations = r#"[{"op":"add","path":"/spec/x","value":1,"y":2,"op":"add"}]"#;
    let expected = r#"strict decoding error: json patch duplicate field "[0].op", json patch unknown field "[0].y", unknown field "spec.x""#;
    check(&server, patch("application/json-patch+json"), operations, expected).await;
    let apply = "\napiVersion: v1\nkind: Service\nmetadata:\n  annotations:\n    a: b\n    a: c\n";
    let expected = "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  \
        line 7: key \"a\" already set in map";
    check(&server, patch("application/apply-patch+yaml"), apply, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_and_what_they_embed() {
    let server = Server::start().await;
    let template = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"template": template}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let definition = json!({
        "metadata": {"name": "boats.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"},
            "versions": [version]},
    });
    server.admin().create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    crate::serving::eventually(async || server.admin().get(BOATS).await.0 == StatusCode::OK).await;
    let body = r#"{"apiVersion":"example.org/v1","kind":"Boat","metadata":{"name":"a","b":1},"c":1,"c":2,
        "template":{"apiVersion":"v1","kind":"Pod","d":1,"metadata":{"name":"p","e":1}}}"#;
    let expected = r#"strict decoding error: duplicate field "c", unknown field "metadata.b", unknown field "template.metadata.e", unknown field "c""#;
    check(&server, ("application/json", Method::POST, BOATS), body, expected).await;
    let one = format!("{BOATS}/a");
    let expected = ": .template.metadata.e: field not declared in schema";
    let apply = r#"{"apiVersion":"example.org/v1","kind":"Boat","template":{"apiVersion":"v1","kind":"Pod","metadata":{"e":1}}}"#;
    check(&server, ("application/apply-patch+yaml", Method::PATCH, &one), apply, expected).await;
}
