//! Watches in the messages of a WebSocket, as browsers open them.

use std::time::Duration;

use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use minato_apiserver::User;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::server::Server;

#[tokio::test]
async fn events_come_as_messages() {
    let server = Server::start().await;
    let admin = server.admin();
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    admin.create(maps, &map("first")).await;

    let (near, far) = tokio::io::duplex(1 << 16);
    let service = server.api.service_as(User::component("admin", &["system:masters"]));
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), TowerToHyperService::new(service));
    tokio::spawn(connection.with_upgrades());
    let url = format!("ws://localhost{maps}?watch=true&timeoutSeconds=3");
    let mut request = url.into_client_request().unwrap();
    let protocols = "base64url.bearer.authorization.k8s.io.eA, base64.binary.k8s.io";
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    let (mut socket, answer) = tokio_tungstenite::client_async(request, near).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "base64.binary.k8s.io");

    let mut seen = Vec::new();
    let watching = async {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => {
                    let event: Value = serde_json::from_str(&text).unwrap();
                    seen.push(format!("{} {}", event["type"], event["object"]["metadata"]["name"]).replace('"', ""));
                    if seen.len() == 1 {
                        admin.create(maps, &map("second")).await;
                        admin.send(http::Method::DELETE, &format!("{maps}/first"), None).await;
                    }
                }
                Message::Close(frame) => return frame,
                _ => {}
            }
        }
        None
    };
    let farewell = tokio::time::timeout(Duration::from_secs(20), watching).await.unwrap().unwrap();
    assert_eq!(u16::from(farewell.code), 1000);
    assert_eq!(seen, ["ADDED first", "ADDED second", "DELETED first"]);
}
