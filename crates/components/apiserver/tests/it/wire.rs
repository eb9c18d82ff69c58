//! What only a real connection shows: certificates of clients and of proxies, and protocols that begin as HTTP.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minato_apiserver::{Authentication, Config, FrontProxy, RequestHeaders};
use minato_http::Limits;
use minato_pki::{Authority, Issued};
use minato_scope::Scope;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::proxy::own_address;
use crate::server::Server;
use crate::serving::eventually;

fn authority(directory: &Path, name: &str) -> Authority {
    Authority::load_or_create(&directory.join(name), name).unwrap()
}

/// An API server that listens.
struct Listening {
    server: Server,
    serving: Authority,
    clients: Authority,
    proxies: Authority,
    port: u16,
    scope: Scope,
    directory: tempfile::TempDir,
}

impl Listening {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [serving, clients, proxies] =
            ["serving", "clients", "proxies"].map(|name| authority(directory.path(), name));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let request_headers = RequestHeaders {
            client_ca_pem: proxies.certificate_pem().to_owned(),
            allowed_names: names(&["front-proxy"]),
            username: names(&["X-Remote-User"]),
            group: names(&["X-Remote-Group"]),
            extra_prefix: names(&["X-Remote-Extra-"]),
            ..RequestHeaders::default()
        };
        let authentication = Authentication {
            client_ca_pem: clients.certificate_pem().to_owned(),
            request_headers: Some(request_headers),
            ..Authentication::default()
        };
        let front_proxy = FrontProxy {
            authority_pem: proxies.certificate_pem().to_owned(),
            identity: proxies.issue_client("front-proxy", None).unwrap(),
            name: "front-proxy".to_owned(),
            client_authority_pem: clients.certificate_pem().to_owned(),
        };
        let config = Config { authentication, front_proxy: Some(front_proxy), ..Config::default() };
        let server = Server::start_with(config).await;
        let identity = serving.issue_server("api", &[], &[Ipv4Addr::LOCALHOST.into()]).unwrap();
        let trusted = format!("{}{}", clients.certificate_pem(), proxies.certificate_pem());
        let tls = minato_pki::server_config(&identity, &trusted).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scope = Scope::root("wire");
        let service = server.api.service();
        scope.spawn("serve", minato_http::serve(listener, Arc::new(tls), service, Limits::default(), scope.clone()));
        Self { server, serving, clients, proxies, port, scope, directory }
    }

    async fn connect(&self, identity: Option<&Issued>) -> std::io::Result<TlsStream<TcpStream>> {
        let tls = minato_pki::client_config(self.serving.certificate_pem(), identity, &["http/1.1"]).unwrap();
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(tls)).connect(name, socket).await
    }

    /// Whom the server believes to see: a user's info, or the code of a refusal.
    async fn whoami(&self, identity: Option<&Issued>, headers: &str) -> std::io::Result<Result<Value, u16>> {
        let mut stream = self.connect(identity).await?;
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
        let request = format!(
            "POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let head = head(&mut stream).await?;
        let code: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(if code == 201 {
            Ok(serde_json::from_slice::<Value>(&answer).unwrap()["status"]["userInfo"].clone())
        } else {
            Err(code)
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.scope.cancel();
    }
}

/// The head of a message, up to and with the empty line.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn a_front_proxy_speaks_for_its_users_and_nobody_else_does() {
    let server = Listening::start().await;
    let headers = "X-Remote-User: jürgen\r\nX-Remote-Group: sailors\r\nX-Remote-Group: cooks\r\nX-Remote-Extra-Acme.org%2fHarbour: kobe\r\n";
    let proxy = server.proxies.issue_client("front-proxy", None).unwrap();
    let user = server.whoami(Some(&proxy), headers).await.unwrap().unwrap();
    let expected = json!({
        "username": "jürgen", "groups": ["sailors", "cooks", "system:authenticated"], "extra": {"acme.org/harbour": ["kobe"]},
    });
    assert_eq!(user, expected);

    // A certificate of the proxies' authority with another name proves nothing, nor does the right name of another authority.
    let other = server.proxies.issue_client("other-proxy", None).unwrap();
    for identity in [Some(&other), None] {
        let user = server.whoami(identity, headers).await.unwrap();
        let unknown = match &user {
            Ok(user) => user["username"] == "system:anonymous",
            Err(code) => matches!(code, 401 | 403),
        };
        assert!(unknown, "{user:?}");
    }
    let client = server.clients.issue_client("front-proxy", Some("crew")).unwrap();
    let user = server.whoami(Some(&client), headers).await.unwrap().unwrap();
    assert_eq!((&user["username"], &user["groups"]), (&json!("front-proxy"), &json!(["crew", "system:authenticated"])));
    // Nor does the proxy itself, when it names nobody.
    let nobody = server.whoami(Some(&proxy), "").await.unwrap();
    assert!(nobody.as_ref().map_or(true, |user| user["username"] == "system:anonymous"), "{nobody:?}");
    let stranger = authority(server.directory.path(), "strangers").issue_client("front-proxy", None).unwrap();
    assert!(server.whoami(Some(&stranger), headers).await.is_err());
}

/// Switches protocols where it is asked to and sends everything back from then on; answers anything else with an empty list of resources.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let head = head(&mut stream).await?;
    let lower = head.to_ascii_lowercase();
    if !lower.contains("upgrade: websocket") {
        let resources = r#"{"kind":"APIResourceList","groupVersion":"tides.example.org/v1","resources":[]}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{resources}",
            resources.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        return stream.shutdown().await;
    }
    let user = lower.lines().find_map(|line| line.strip_prefix("x-remote-user: ")).unwrap_or("nobody");
    let path = head.split(' ').nth(1).unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Path: {path}\r\nX-User: {user}\r\n\r\nhello"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    let (mut read, mut write) = tokio::io::split(stream);
    tokio::io::copy(&mut read, &mut write).await.map(drop)
}

#[tokio::test]
async fn other_protocols_pass_to_pods_services_and_aggregated_servers() {
    let Some(address) = own_address() else {
        println!("skipped: this machine has no address but the loopback's");
        return;
    };
    let server = Listening::start().await;
    let client = server.server.admin();
    let listener = TcpListener::bind((address.as_str(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let namespace = "/api/v1/namespaces/default";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    client.post(&format!("{namespace}/serviceaccounts"), &account).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    });
    let mut pod = client.create(&format!("{namespace}/pods"), &pod).await;
    pod["status"]["podIP"] = address.as_str().into();
    pod["status"]["podIPs"] = json!([{"ip": address}]);
    client.put(&format!("{namespace}/pods/web/status"), &pod).await;
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let spec = json!({"ports": [{"name": "http", "port": 80, "targetPort": port}]});
    client.create(&format!("{namespace}/services"), &service("web", spec)).await;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "namespace": "default", "name": "web"}}],
    });
    client.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await;

    let identity = server.serving.issue_server("tides", &["tides.default.svc".to_owned()], &[]).unwrap();
    let mut tls = minato_pki::server_config(&identity, server.proxies.certificate_pem()).unwrap();
    // All that `echo` speaks.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let remote_port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { echo(acceptor.accept(stream).await?).await });
        }
    });
    let spec = json!({"type": "ExternalName", "externalName": "localhost"});
    client.create(&format!("{namespace}/services"), &service("tides", spec)).await;
    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.tides.example.org"},
        "spec": {
            "group": "tides.example.org", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "default", "name": "tides", "port": remote_port},
            "caBundle": STANDARD.encode(server.serving.certificate_pem()),
        },
    });
    client.create("/apis/apiregistration.k8s.io/v1/apiservices", &api_service).await;
    let tides = "/apis/tides.example.org/v1/tides";
    eventually(async || client.get(tides).await.0 == 200).await;

    let boss = server.clients.issue_client("alice", Some("system:masters")).unwrap();
    for (path, at_backend, user) in [
        (format!("{namespace}/pods/web:{port}/proxy/live?a=b"), "/live?a=b", "nobody"),
        (format!("{namespace}/services/web:http/proxy/live"), "/live", "nobody"),
        (format!("{tides}/high/live?watch=1"), "/apis/tides.example.org/v1/tides/high/live?watch=1", "alice"),
    ] {
        let mut stream = server.connect(Some(&boss)).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await.unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: websocket"), "{path}: {head}");
        assert!(
            head.contains(&format!("x-path: {at_backend}\r\n")) && head.contains(&format!("x-user: {user}\r\n")),
            "{head}"
        );
        // What the other side says at once, and then whatever the two say, bytes that are no text among it.
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let sent: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut read, mut write) = tokio::io::split(stream);
        let mut received = vec![0; sent.len()];
        let (written, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
        assert!(written.is_ok() && got.is_ok() && received == sent, "{path}");
    }
}
