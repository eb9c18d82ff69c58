//! A server on the loopback that answers for a group of its own.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use minato_apiserver::{Config, FrontProxy};
use minato_http::{Limits, Peer};
use minato_pki::{Authority, identity_of};
use minato_scope::Scope;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::Server;
use crate::serving::eventually;

/// What the other server says: its resources, or who asked for what.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        let values = request.headers().get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let certificates = request.extensions().get::<Peer>().unwrap().chain.certificates();
    let value = match request.uri().path() {
        "/apis/tides.example.org/v1" => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "tides.example.org/v1",
            "resources": [
                {"name": "tides", "singularName": "tide", "namespaced": true, "kind": "Tide", "verbs": ["get", "list"]},
                {"name": "tides/status", "singularName": "", "namespaced": true, "kind": "Tide", "verbs": ["get"]},
            ],
        }),
        "/openapi/v3" => json!({"paths": {"apis/tides.example.org/v1": {
            "serverRelativeURL": "/openapi/v3/apis/tides.example.org/v1?hash=AB",
        }}}),
        "/openapi/v2" => json!({
            "paths": {"/apis/tides.example.org/v1/tides": {"get": {"$ref": "#/definitions/Tide"}}, "/version": {}},
            "definitions": {"Tide": {"type": "object"}, "Other": {}},
        }),
        path => json!({
            "path": path, "query": request.uri().query(), "user": header("x-remote-user"),
            "groups": header("x-remote-group"), "authorization": header("authorization"),
            "certificate": certificates.first().map(|leaf| identity_of(leaf).unwrap().user),
        }),
    };
    Ok(Response::new(Full::new(value.to_string().into())))
}

#[tokio::test]
async fn requests_go_to_the_server_of_the_group() {
    let directory = tempfile::tempdir().unwrap();
    let authority = |name: &str| Authority::load_or_create(&directory.path().join(name), name).unwrap();
    let (front, serving) = (authority("front"), authority("serving"));
    let identity = serving.issue_server("tides", &["tides.default.svc".to_owned()], &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = minato_pki::server_config(&identity, front.certificate_pem()).unwrap();
    let scope = Scope::root("other");
    let accepting = scope.clone();
    scope.spawn("serve", async move {
        minato_http::serve(listener, Arc::new(tls), tower::service_fn(answer), Limits::default(), accepting).await;
    });

    let front_proxy = FrontProxy {
        authority_pem: front.certificate_pem().to_owned(),
        identity: front.issue_client("front-proxy-client", None).unwrap(),
        name: "front-proxy-client".to_owned(),
        client_authority_pem: "PEM".to_owned(),
    };
    let server = Server::start_with(Config { front_proxy: Some(front_proxy), ..Config::default() }).await;
    let client = server.admin();
    let (_, config_map) =
        client.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await;
    assert_eq!(config_map["data"]["requestheader-allowed-names"], r#"["front-proxy-client"]"#);

    let api_services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let available = async |name: &str| -> Value {
        let (_, found) = client.get(&format!("{api_services}/{name}")).await;
        found["status"]["conditions"][0].clone()
    };
    eventually(async || available("v1.").await["reason"] == "Local").await;
    eventually(async || available("v1.apps").await["status"] == "True").await;

    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.tides.example.org"},
        "spec": {
            "group": "tides.example.org", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "default", "name": "tides", "port": port},
            "caBundle": base64(serving.certificate_pem()),
        },
    });
    client.create(api_services, &api_service).await;
    eventually(async || available("v1.tides.example.org").await["reason"] == "ServiceNotFound").await;
    let found = available("v1.tides.example.org").await;
    assert_eq!(found["message"], "service/tides in \"default\" is not present");
    let tides = "/apis/tides.example.org/v1/namespaces/default/tides";
    eventually(async || client.get(tides).await.0 == StatusCode::SERVICE_UNAVAILABLE).await;

    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "tides"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    client.create("/api/v1/namespaces/default/services", &service).await;
    eventually(async || available("v1.tides.example.org").await["reason"] == "Passed").await;
    eventually(async || client.get(tides).await.0 == StatusCode::OK).await;

    let boss = server.user("alice", &["system:masters"]);
    let (code, said) = boss.get(&format!("{tides}/high%2Fwater?watch=0&x=%20")).await;
    assert_eq!(code, StatusCode::OK);
    let expected = json!({
        "path": format!("{tides}/high%2Fwater"), "query": "watch=0&x=%20", "user": ["alice"],
        "groups": ["system:masters", "system:authenticated"], "authorization": [], "certificate": "front-proxy-client",
    });
    assert_eq!(said, expected);
    let (code, _) = server.user("bob", &[]).get(tides).await;
    assert_eq!(code, StatusCode::FORBIDDEN);

    let (_, list) = client.get("/apis/tides.example.org/v1").await;
    assert_eq!(list["resources"][0]["kind"], "Tide");
    let (_, groups) = client.get("/apis").await;
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "tides.example.org"));

    // Its shapes are told with those of this server.
    let (_, index) = client.get("/openapi/v3").await;
    let url = index["paths"]["apis/tides.example.org/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let (code, said) = client.get(&url).await;
    assert_eq!(
        (code, &said["path"], &said["query"]),
        (StatusCode::OK, &json!("/openapi/v3/apis/tides.example.org/v1"), &json!("hash=AB"))
    );
    let (_, document) = client.get("/openapi/v2").await;
    assert!(document["paths"]["/apis/tides.example.org/v1/tides"].is_object());
    assert!(document["paths"]["/api/v1/pods"].is_object());
    assert_eq!(
        (&document["definitions"]["Tide"]["type"], &document["definitions"]["Other"]),
        (&json!("object"), &Value::Null)
    );

    // The server goes; somebody touches the APIService, which makes it be looked at before its time.
    scope.cancel();
    let (_, mut now) = client.get(&format!("{api_services}/v1.tides.example.org")).await;
    now["metadata"]["annotations"] = json!({"looked-at": "again"});
    client.put(&format!("{api_services}/v1.tides.example.org"), &now).await;
    eventually(async || available("v1.tides.example.org").await["reason"] == "FailedDiscoveryCheck").await;
    eventually(async || client.get(tides).await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    let (code, _) = client.send(http::Method::DELETE, &format!("{api_services}/v1.tides.example.org"), None).await;
    assert_eq!(code, StatusCode::OK);
    eventually(async || client.get(tides).await.0 == StatusCode::NOT_FOUND).await;
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
