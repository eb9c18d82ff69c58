//! `proxy` of pods, services and nodes, to a server in this test.

use std::convert::Infallible;
use std::net::UdpSocket;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use minato_apiserver::User;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::server::Server;

/// An address of this machine that is not the loopback's: a proxy does not go there.
pub(crate) fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; it only asks for the route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder();
    let response = match request.uri().path() {
        "/page" => {
            response.header("content-type", "text/html; charset=utf-8").body("<a href=\"/rewriteme\">test</a>".into())
        }
        "/away" => response.status(302).header("location", "/login?next=/").body(Bytes::new()),
        "/broken" => response.status(418).header("access-control-allow-origin", "*").body("teapot".into()),
        _ => {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            let value = json!({
                "method": head.method.as_str(), "uri": head.uri.to_string(), "body": String::from_utf8_lossy(&body),
                "forwarded": header("x-forwarded-uri"), "authorization": header("authorization"),
                "connection": header("connection"), "own": header("x-own"),
            });
            response.header("content-type", "application/json").body(value.to_string().into())
        }
    };
    Ok(response.unwrap().map(Full::new))
}

#[tokio::test]
async fn requests_reach_pods_and_services() {
    let Some(address) = own_address() else {
        println!("skipped: this machine has no address but the loopback's");
        return;
    };
    let listener = TcpListener::bind((address.as_str(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let server = Server::start().await;
    let client = server.admin();
    let namespace = "/api/v1/namespaces/default";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    client.post(&format!("{namespace}/serviceaccounts"), &account).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": port}]}]},
    });
    let mut pod = client.create(&format!("{namespace}/pods"), &pod).await;
    pod["status"]["podIP"] = address.as_str().into();
    pod["status"]["podIPs"] = json!([{"ip": address}]);
    assert_eq!(client.put(&format!("{namespace}/pods/web/status"), &pod).await.0, StatusCode::OK);
    for name in ["web", "empty"] {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]},
        });
        client.create(&format!("{namespace}/services"), &service).await;
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": port}],
        "endpoints": [
            {"addresses": [address], "targetRef": {"kind": "Pod", "namespace": "default", "name": "web"}},
            {"addresses": ["203.0.113.9"]},
        ],
    });
    client.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await;

    let cases = [
        ("pods/web/proxy/page".to_owned(), 200, format!("<a href=\"{namespace}/pods/web/proxy/rewriteme\">test</a>")),
        (format!("pods/http:web:{port}/proxy/x%2Fy/?q=%20&r"), 200, "\"uri\":\"/x%2Fy/?q=%20&r\"".to_owned()),
        ("services/web:80/proxy/a".to_owned(), 200, format!("\"forwarded\":\"{namespace}/services/web:80/proxy/a\"")),
        ("services/web:http/proxy/".to_owned(), 200, "\"uri\":\"/\"".to_owned()),
        ("services/web:81/proxy/".to_owned(), 503, "no service port 81 found for service \\\"web\\\"".to_owned()),
        (
            "services/empty:http/proxy/".to_owned(),
            503,
            "no endpoints available for service \\\"empty:http\\\"".to_owned(),
        ),
        ("services/none/proxy/".to_owned(), 404, "services \\\"none\\\" not found".to_owned()),
        (
            "pods/web:1/proxy/".to_owned(),
            503,
            format!("error trying to reach service: dial tcp {address}:1: connect: connection refused"),
        ),
        ("pods/ftp:web:1/proxy/".to_owned(), 400, "invalid pod request \\\"ftp:web:1\\\"".to_owned()),
        ("pods/web/proxy/broken".to_owned(), 418, "teapot".to_owned()),
    ];
    for (path, code, expected) in cases {
        let (found, body) = client.get(&format!("{namespace}/{path}")).await;
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        assert_eq!((found.as_u16(), text.contains(&expected)), (code, true), "{path}: {text}");
    }

    let sent = [("POST", "posted"), ("PUT", "put"), ("PATCH", "patched"), ("DELETE", ""), ("OPTIONS", "")];
    for (method, body) in sent {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        let request = request.uri(format!("{namespace}/pods/web/proxy/do?it=now"));
        let request =
            request.header("authorization", "Bearer secret").header("connection", "x-own").header("x-own", "1");
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
        let admin = User::component("admin", &["system:masters"]);
        let response = server.api.service_as(admin).oneshot(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&value["method"], &value["body"]), (&json!(method), &json!(body)));
        assert_eq!(
            (&value["authorization"], &value["connection"], &value["own"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }
    for (path, location) in
        [("pods/web/proxy/away", "pods/web/proxy/login?next=/"), ("pods/web/proxy?a=b", "pods/web/proxy/?a=b")]
    {
        let request = Request::get(format!("{namespace}/{path}")).body(Full::new(Bytes::new())).unwrap();
        let admin = User::component("admin", &["system:masters"]);
        let response = server.api.service_as(admin).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["location"], format!("{namespace}/{location}").as_str());
    }
}
