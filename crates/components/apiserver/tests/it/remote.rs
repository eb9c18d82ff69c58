//! Users and verdicts of others: an OpenID Connect issuer, a token webhook, an authorisation webhook, on loopback.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use minato_apiserver::{
    Authentication, AuthenticationFile, AuthorizationMode, Config, FailurePolicy, TokenWebhookOptions, WebhookOptions,
};
use minato_http::Limits;
use minato_pki::{Authority, SigningKey};
use minato_scope::Scope;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::server::Server;

/// A server on loopback that answers by a function of path and body, and counts.
pub(crate) struct Peer {
    url: String,
    ca_pem: String,
    calls: Arc<Mutex<Vec<String>>>,
    directory: tempfile::TempDir,
    _scope: Scope,
}

type Answer = Arc<dyn Fn(&str, &Value) -> (StatusCode, Value) + Send + Sync>;

impl Peer {
    pub(crate) async fn start(
        answer: impl Fn(&str, &str, &Value) -> (StatusCode, Value) + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "peer-ca").unwrap();
        let identity = authority.issue_server("peer", &["localhost".to_owned()], &[]).unwrap();
        let tls = Arc::new(minato_pki::server_config(&identity, authority.certificate_pem()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let (noted, base) = (Arc::clone(&calls), url.clone());
        let answer: Answer = Arc::new(move |path, body| answer(&base, path, body));
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
            async move {
                let path = request.uri().path().to_owned();
                let bytes = request.into_body().collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                noted.lock().push(path.clone());
                let (code, value) = answer(&path, &body);
                let response = Response::builder().status(code).body(Full::new(Bytes::from(value.to_string())));
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        let scope = Scope::root("peer");
        let serving = scope.clone();
        tokio::spawn(async move { minato_http::serve(listener, tls, service, Limits::default(), serving).await });
        Self { url, ca_pem: authority.certificate_pem().to_owned(), calls, directory, _scope: scope }
    }

    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        let ca = self.directory.path().join("ca.pem");
        std::fs::write(&ca, &self.ca_pem).unwrap();
        let path = self.directory.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("{}/ask", self.url), "certificate-authority": ca}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }
}

async fn whoami(server: &Server, token: &str) -> (StatusCode, Value) {
    let client = server.remote(&[("authorization", &format!("Bearer {token}"))]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let (code, answer) = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
    (code, answer["status"]["userInfo"].clone())
}

#[tokio::test]
async fn tokens_of_an_open_id_connect_issuer() {
    let directory = tempfile::tempdir().unwrap();
    let key = |name: &str| SigningKey::load_or_create(&directory.path().join(name)).unwrap();
    let (first, second) = (key("first"), key("second"));
    let published = Arc::new(Mutex::new(first.key_set()));
    let keys = Arc::clone(&published);
    let peer = Peer::start(move |base, path, _| match path {
        "/.well-known/openid-configuration" => {
            (StatusCode::OK, json!({"issuer": base, "jwks_uri": format!("{base}/keys")}))
        }
        "/keys" => (StatusCode::OK, keys.lock().clone()),
        _ => (StatusCode::NOT_FOUND, Value::Null),
    })
    .await;
    let file = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {"url": peer.url, "audiences": ["shop"], "certificateAuthority": peer.ca_pem},
            "claimValidationRules": [{"expression": "claims.level > 1", "message": "level too low"}],
            "claimMappings": {
                "username": {"claim": "email", "prefix": "oidc:"},
                "groups": {"expression": "claims.roles.map(role, 'role:' + role)"},
                "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
            },
            "userValidationRules": [{"expression": "!user.username.endsWith('@evil')", "message": "no"}],
        }],
        "anonymous": {"enabled": false},
    });
    let file = AuthenticationFile::parse(&file.to_string()).unwrap();
    let authentication =
        Authentication { issuers: file.issuers, anonymous: file.anonymous.unwrap(), ..Authentication::default() };
    let server = Server::start_with(Config { authentication, ..Config::default() }).await;
    let now = jiff::Timestamp::now().as_second();
    let claims = |change: Value| {
        let mut claims = json!({
            "iss": peer.url, "aud": "shop", "exp": now + 60, "email": "ann@example.com", "level": 2,
            "roles": ["dev"], "tenant": "t1",
        });
        for (key, value) in change.as_object().unwrap() {
            claims[key] = value.clone();
        }
        claims
    };
    let (code, user) = whoami(&server, &first.sign(&claims(json!({}))).unwrap()).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(
        user,
        json!({"username": "oidc:ann@example.com", "groups": ["role:dev", "system:authenticated"], "extra": {"example.com/tenant": ["t1"]}})
    );
    let fetched = peer.calls();
    for wrong in [
        json!({"aud": "other"}),
        json!({"exp": now - 1}),
        json!({"nbf": now + 3600}),
        json!({"level": 1}),
        json!({"email": "x@evil"}),
        json!({"email": ""}),
        json!({"iss": "https://other"}),
        json!({"email_verified": false}),
    ] {
        let token = first.sign(&claims(wrong.clone())).unwrap();
        assert_eq!(whoami(&server, &token).await.0, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert_eq!(peer.calls(), fetched, "the keys are kept");
    assert_eq!(server.remote(&[]).get("/livez").await.0, StatusCode::UNAUTHORIZED);
    // A new key is fetched when a token names it; one that the issuer does not have is not believed.
    let token = second.sign(&claims(json!({}))).unwrap();
    assert_eq!(whoami(&server, &token).await.0, StatusCode::UNAUTHORIZED);
    *published.lock() = second.key_set();
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    while whoami(&server, &token).await.0 != StatusCode::CREATED {
        assert!(tokio::time::Instant::now() < patience, "the new key is never fetched");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_webhook_knows_tokens() {
    let peer = Peer::start(|_, _, review| {
        let known = review["spec"]["token"] == "good";
        let user = json!({"username": "wanda", "uid": "9", "groups": ["g"], "extra": {"k": ["v"]}});
        let status = if known { json!({"authenticated": true, "user": user}) } else { json!({"authenticated": false}) };
        (StatusCode::OK, json!({"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status}))
    })
    .await;
    let webhook = TokenWebhookOptions { kubeconfig: peer.kubeconfig(), cache_time: Duration::from_secs(60) };
    let authentication = Authentication { webhook: Some(webhook), ..Authentication::default() };
    let server = Server::start_with(Config { authentication, ..Config::default() }).await;
    for _ in 0..3 {
        let (code, user) = whoami(&server, "good").await;
        assert_eq!(code, StatusCode::CREATED);
        assert_eq!(
            user,
            json!({"username": "wanda", "uid": "9", "groups": ["g", "system:authenticated"], "extra": {"k": ["v"]}})
        );
        assert_eq!(whoami(&server, "bad").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(peer.calls(), 2, "answers are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_decides() {
    let peer = Peer::start(|_, _, review| {
        let spec = &review["spec"];
        let status = match (spec["user"].as_str().unwrap(), spec["resourceAttributes"]["resource"].as_str()) {
            ("ann", Some("pods")) => json!({"allowed": true, "reason": "ann likes pods"}),
            ("ann" | "dora", Some("configmaps")) => json!({"allowed": true}),
            ("bob", _) => json!({"allowed": false, "denied": true, "reason": "not bob"}),
            ("liar", _) => json!({"allowed": true, "denied": true}),
            _ => json!({"allowed": false}),
        };
        let selected = &spec["resourceAttributes"]["fieldSelector"]["requirements"][0];
        let status = if selected["key"] == "spec.nodeName" { json!({"allowed": true}) } else { status };
        (StatusCode::OK, json!({"apiVersion": review["apiVersion"], "kind": "SubjectAccessReview", "status": status}))
    })
    .await;
    let webhook = WebhookOptions {
        name: "house".to_owned(),
        kubeconfig: peer.kubeconfig(),
        authorized_time: Duration::from_secs(60),
        unauthorized_time: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
        failure_policy: FailurePolicy::NoOpinion,
        match_conditions: vec!["request.user != 'vera'".to_owned()],
    };
    let authorization = vec![AuthorizationMode::Webhook(Box::new(webhook)), AuthorizationMode::Rbac];
    let server = Server::start_with(Config { authorization, ..Config::default() }).await;
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(server.user("ann", &[]).get(pods).await.0, StatusCode::OK);
    assert_eq!(server.user("ann", &[]).get(pods).await.0, StatusCode::OK);
    assert_eq!(peer.calls(), 1, "a yes is kept");
    let (code, answer) = server.user("bob", &["system:monitoring"]).get("/metrics").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(answer["message"].as_str().unwrap().ends_with(": not bob"), "{answer}");
    assert_eq!(server.user("liar", &[]).get(pods).await.0, StatusCode::FORBIDDEN);
    // Without an opinion, roles decide; who meets no condition is not asked about.
    assert_eq!(server.user("carl", &[]).get("/version").await.0, StatusCode::OK);
    let asked = peer.calls();
    assert_eq!(server.user("vera", &[]).get("/version").await.0, StatusCode::OK);
    assert_eq!(peer.calls(), asked);
    let selected = format!("{pods}?fieldSelector=spec.nodeName%3Da");
    assert_eq!(server.user("carl", &[]).get(&selected).await.0, StatusCode::OK);
    assert_eq!(server.user("carl", &[]).get(pods).await.0, StatusCode::FORBIDDEN);
    assert_eq!(server.admin().get(pods).await.0, StatusCode::OK);

    // A policy's expressions ask it too.
    let (admin, policies) = (server.admin(), "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies");
    let rules =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]);
    let may = "authorizer.group('').resource('pods').namespace('default').check('list').allowed()";
    let spec = json!({"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": may}]});
    admin.create(policies, &json!({"metadata": {"name": "likes-pods"}, "spec": spec})).await;
    let spec = json!({"policyName": "likes-pods", "validationActions": ["Deny"]});
    let binding = json!({"metadata": {"name": "likes-pods"}, "spec": spec});
    admin.create("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", &binding).await;
    let config_map = json!({"metadata": {"generateName": "c-"}});
    let path = "/api/v1/namespaces/default/configmaps";
    server.user("ann", &[]).create(path, &config_map).await;
    assert_eq!(server.user("dora", &[]).post(path, &config_map).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}
