//! Answers in the form that `Accept` and `Accept-Encoding` ask for.

use std::io::Read as _;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use minato_apiserver::User;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn protobuf(&self) -> Value {
        assert_eq!(self.header(header::CONTENT_TYPE), PROTOBUF);
        minato_protobuf::decode(&self.body).unwrap()
    }
}

async fn ask(server: &Server, method: Method, path: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let service = server.api.service_as(User::component("admin", &["system:masters"]));
    let response = service.oneshot(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    Answer { code: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn get(server: &Server, path: &str, accept: &str) -> Answer {
    ask(server, Method::GET, path, &[(header::ACCEPT, accept)]).await
}

#[tokio::test]
async fn items_of_built_in_kinds_leave_the_type_to_their_list() {
    let server = Server::start().await;
    let admin = server.admin();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    admin.create("/api/v1/namespaces/default/configmaps", &map).await;
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}});
    admin.create("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", &scaler).await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "tests.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "tests", "kind": "Test"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    let path = "/apis/example.com/v1/namespaces/default/tests";
    let custom = json!({"apiVersion": "example.com/v1", "kind": "Test", "metadata": {"name": "a"}});
    crate::serving::eventually(async || admin.post(path, &custom).await.0 == StatusCode::CREATED).await;
    for (path, kind) in [
        ("/api/v1/namespaces/default/configmaps", Value::Null),
        ("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", Value::Null),
        ("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", Value::Null),
        (path, json!("Test")),
    ] {
        let (_, list) = admin.get(path).await;
        assert_eq!(list["items"][0]["metadata"]["name"], "a", "{path}: {list}");
        assert_eq!(list["items"][0]["kind"], kind, "{path}: {list}");
        assert!(list["kind"].as_str().unwrap().ends_with("List"), "{list}");
        let (_, one) = admin.get(&format!("{path}/a")).await;
        assert!(one["kind"].is_string() && one["apiVersion"].is_string(), "{one}");
    }
}

#[tokio::test]
async fn objects_lists_and_errors() {
    let server = Server::start().await;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"k": "v: \"x\"\n"}});
    let made = server.admin().create(MAPS, &map).await;
    let one = format!("{MAPS}/one");
    assert_eq!(get(&server, &one, PROTOBUF).await.protobuf(), made);
    assert_eq!(get(&server, &one, &format!("{PROTOBUF},application/json")).await.protobuf()["data"], made["data"]);
    let list = get(&server, MAPS, PROTOBUF).await.protobuf();
    assert_eq!(list["kind"], "ConfigMapList");
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["metadata"] == made["metadata"]), "{list}");
    let missing = get(&server, &format!("{MAPS}/two"), PROTOBUF).await;
    assert_eq!((missing.code, missing.protobuf()["reason"].clone()), (StatusCode::NOT_FOUND, json!("NotFound")));
    let metadata = get(&server, MAPS, &format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")).await;
    assert_eq!(metadata.protobuf()["kind"], "PartialObjectMetadataList");

    let yaml = get(&server, &one, "application/yaml").await;
    assert_eq!(yaml.header(header::CONTENT_TYPE), "application/yaml");
    assert_eq!(serde_saphyr::from_str::<Value>(std::str::from_utf8(&yaml.body).unwrap()).unwrap(), made);
    let table = get(
        &server,
        MAPS,
        &format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1"),
    )
    .await;
    assert_eq!(table.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(serde_json::from_slice::<Value>(&table.body).unwrap()["kind"], "Table");

    let refused = get(&server, &one, "application/xml").await;
    assert_eq!(refused.code, StatusCode::NOT_ACCEPTABLE);
    let words = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!(serde_json::from_slice::<Value>(&refused.body).unwrap()["message"], words);

    let head = ask(&server, Method::HEAD, &one, &[]).await;
    assert_eq!((head.code, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header(header::CONTENT_LENGTH), made.to_string().len().to_string());
}

#[tokio::test]
async fn watches_send_frames() {
    let server = Server::start().await;
    let made = server
        .admin()
        .create(
            MAPS,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"k": "v"}}),
        )
        .await;
    let path = format!("{MAPS}?watch=true&fieldSelector=metadata.name=one&timeoutSeconds=1");
    let answer = get(&server, &path, "application/vnd.kubernetes.protobuf;stream=watch").await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/vnd.kubernetes.protobuf;stream=watch");
    let body = minato_protobuf::encode(&made).unwrap();
    assert_eq!(answer.body, minato_protobuf::watch_frame("ADDED", &body));
}

#[tokio::test]
async fn large_answers_are_compressed() {
    let server = Server::start().await;
    let admin = server.admin();
    for n in 0..4 {
        let data = json!({"k": "x".repeat(60_000)});
        let name = format!("large-{n}");
        admin
            .create(MAPS, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
            .await;
    }
    let gzip = [(header::ACCEPT_ENCODING, "gzip")];
    let plain = ask(&server, Method::GET, MAPS, &[]).await;
    assert_eq!(plain.header(header::CONTENT_ENCODING), "");
    for accept in ["application/json", PROTOBUF, "application/yaml"] {
        let asked = [gzip[0].clone(), (header::ACCEPT, accept)];
        let answer = ask(&server, Method::GET, MAPS, &asked).await;
        assert_eq!(answer.header(header::CONTENT_ENCODING), "gzip", "{accept}");
        assert!(answer.body.len() < 30_000, "{accept}: {}", answer.body.len());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut unpacked).unwrap();
        if accept == "application/json" {
            // The server writes objects of its own meanwhile, so that the lists' revisions may differ.
            let items = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["items"].take();
            assert!(items(&unpacked) == items(&plain.body), "the objects differ");
        }
    }
    let small = ask(&server, Method::GET, "/api/v1/namespaces", &gzip).await;
    assert_eq!(small.header(header::CONTENT_ENCODING), "");
}

#[tokio::test]
async fn pages_of_lists() {
    let server = Server::start().await;
    let admin = server.admin();
    for name in ["a", "b", "c"] {
        admin
            .create(
                MAPS,
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"p": "q"}}}),
            )
            .await;
    }
    let path = format!("{MAPS}?labelSelector=p%3Dq&limit=1");
    let (_, first) = admin.get(&path).await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    admin.send(Method::DELETE, &format!("{MAPS}/b"), None).await;
    let (_, second) = admin.get(&format!("{path}&continue={token}")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "b", "the list is as it was when it began");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    // An old token is refused, and offers the rest of the list as it is now.
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut old: Value = serde_json::from_slice(&engine.decode(&token).unwrap()).unwrap();
    old["t"] = json!(1);
    let (code, expired) = admin.get(&format!("{path}&continue={}", engine.encode(old.to_string()))).await;
    assert_eq!((code, &expired["reason"]), (StatusCode::GONE, &json!("Expired")));
    let offered = expired["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = admin.get(&format!("{path}&continue={offered}")).await;
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    let (code, _) = admin.get(&format!("{path}&continue={token}&resourceVersion=5")).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
}
