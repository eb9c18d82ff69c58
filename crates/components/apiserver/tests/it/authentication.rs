//! Who is who: tokens of all kinds, and nobody.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use minato_apiserver::{
    Anonymous, AuditOptions, Authentication, AuthorizationMode, ClaimOrExpression, Config, FileFormat, FileOptions,
    JwtIssuer, StaticTokens,
};
use serde_json::{Value, json};

use crate::server::Server;

/// Who the server says that one is.
async fn whoami(server: &Server, token: &str) -> (StatusCode, Value) {
    let client = server.remote(&[("authorization", &format!("Bearer {token}"))]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let (code, answer) = client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
    (code, if code.is_success() { answer["status"]["userInfo"].clone() } else { answer["message"].clone() })
}

#[tokio::test]
async fn bootstrap_tokens() {
    let server = Server::start().await;
    let admin = server.admin();
    let create = async |id: &str, secret: &str, more: Value| {
        let mut data = json!({"token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true"});
        for (key, value) in more.as_object().unwrap() {
            data[key] = value.clone();
        }
        let data: serde_json::Map<String, Value> = data
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| (key.clone(), STANDARD.encode(value.as_str().unwrap()).into()))
            .collect();
        let secret = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token", "data": data});
        admin.create("/api/v1/namespaces/kube-system/secrets", &secret).await;
    };
    create("aaaaaa", "0123456789abcdef", json!({"auth-extra-groups": "system:bootstrappers:nodes"})).await;
    create("bbbbbb", "0123456789abcdef", json!({"expiration": "2020-01-01T00:00:00Z"})).await;
    create("cccccc", "0123456789abcdef", json!({"usage-bootstrap-authentication": "false"})).await;
    create("dddddd", "0123456789abcdef", json!({"expiration": "2120-01-01T00:00:00Z"})).await;
    let (code, user) = whoami(&server, "aaaaaa.0123456789abcdef").await;
    assert_eq!(code, StatusCode::CREATED, "{user}");
    assert_eq!(
        user,
        json!({"username": "system:bootstrap:aaaaaa", "groups": ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"]})
    );
    assert_eq!(whoami(&server, "dddddd.0123456789abcdef").await.0, StatusCode::CREATED);
    for bad in
        ["aaaaaa.0123456789abcdee", "bbbbbb.0123456789abcdef", "cccccc.0123456789abcdef", "zzzzzz.0123456789abcdef"]
    {
        assert_eq!(whoami(&server, bad).await, (StatusCode::UNAUTHORIZED, json!("Unauthorized")), "{bad}");
    }
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "aaaaaa.0123456789abcdef"}});
    let answer = admin.create("/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
    assert_eq!(answer["status"]["user"]["username"], "system:bootstrap:aaaaaa");
}

#[tokio::test]
async fn static_tokens_and_other_schemes() {
    let authentication = Authentication {
        tokens: StaticTokens::parse("secret,alice,7,\"dev,ops\"").unwrap(),
        anonymous: Anonymous { enabled: true, paths: vec!["/livez".to_owned()] },
        ..Authentication::default()
    };
    let server = Server::start_with(Config { authentication, ..Config::default() }).await;
    let (_, user) = whoami(&server, "secret").await;
    assert_eq!(user, json!({"username": "alice", "uid": "7", "groups": ["dev", "ops", "system:authenticated"]}));
    let cases = [
        (None, "/livez", StatusCode::OK),
        (None, "/readyz", StatusCode::UNAUTHORIZED),
        (Some("Basic YTpi"), "/livez", StatusCode::OK),
        (Some("Basic YTpi"), "/version", StatusCode::UNAUTHORIZED),
        (Some("bearer   secret"), "/readyz", StatusCode::UNAUTHORIZED),
        (Some("bearer secret"), "/readyz", StatusCode::OK),
        (Some("BEARER secret trailing"), "/readyz", StatusCode::OK),
        (Some("Bearer wrong"), "/livez", StatusCode::UNAUTHORIZED),
        (Some("Bearer a.b.c"), "/livez", StatusCode::UNAUTHORIZED),
    ];
    for (header, path, expected) in cases {
        let client = match header {
            Some(value) => server.remote(&[("authorization", value)]),
            None => server.remote(&[]),
        };
        assert_eq!(client.get(path).await.0, expected, "{header:?} {path}");
    }
}

#[tokio::test]
async fn tokens_among_the_protocols_of_a_websocket() {
    let authentication = Authentication {
        tokens: StaticTokens::parse("secret,alice,7").unwrap(),
        anonymous: Anonymous { enabled: true, paths: vec!["/livez".to_owned()] },
        ..Authentication::default()
    };
    let server = Server::start_with(Config { authentication, ..Config::default() }).await;
    let bearer = |token: &str| format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token));
    let (good, wrong) = (bearer("secret"), bearer("wrong"));
    for (protocols, expected) in [
        (format!("{good}, v5.channel.k8s.io"), StatusCode::OK),
        (format!("v5.channel.k8s.io,{good}"), StatusCode::OK),
        (format!("{wrong}, v5.channel.k8s.io"), StatusCode::UNAUTHORIZED),
        (good.clone(), StatusCode::UNAUTHORIZED),
        (format!("{good}, {good}, v5.channel.k8s.io"), StatusCode::UNAUTHORIZED),
        ("base64url.bearer.authorization.k8s.io.!, v5.channel.k8s.io".to_owned(), StatusCode::UNAUTHORIZED),
        ("v5.channel.k8s.io".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-protocol", &protocols)];
        assert_eq!(server.remote(&upgrade).get("/version").await.0, expected, "{protocols}");
        let plain = [("sec-websocket-protocol", protocols.as_str())];
        assert_eq!(server.remote(&plain).get("/version").await.0, StatusCode::UNAUTHORIZED, "{protocols}");
    }
}

#[tokio::test]
async fn configuration_changes_while_the_server_runs() {
    let server = Server::start().await;
    let (nobody, alice) = (server.remote(&[]), server.user("alice", &[]));
    assert_eq!(nobody.get("/livez").await.0, StatusCode::OK);
    let anonymous = Anonymous { enabled: false, paths: Vec::new() };
    server.api.configure_authentication(&Authentication { anonymous, ..Authentication::default() }).unwrap();
    assert_eq!(nobody.get("/livez").await.0, StatusCode::UNAUTHORIZED);

    assert_eq!(alice.get("/api/v1/namespaces").await.0, StatusCode::FORBIDDEN);
    server.api.configure_authorization(&[AuthorizationMode::AlwaysAllow]).unwrap();
    assert_eq!(alice.get("/api/v1/namespaces").await.0, StatusCode::OK);
    let issuer = JwtIssuer {
        url: "https://x".to_owned(),
        username: ClaimOrExpression::Expression("claims.".to_owned()),
        ..JwtIssuer::default()
    };
    let wrong = Authentication { issuers: vec![issuer], ..Authentication::default() };
    assert!(server.api.configure_authentication(&wrong).is_err());
    assert_eq!(nobody.get("/livez").await.0, StatusCode::UNAUTHORIZED, "what was there stays");
}

#[tokio::test]
async fn tokens_that_should_have_been_renewed_are_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let (policy, log) = (directory.path().join("policy.yaml"), directory.path().join("audit.log"));
    let rules = "rules: [{level: Metadata, nonResourceURLs: [/version]}]";
    std::fs::write(
        &policy,
        format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n{rules}"),
    )
    .unwrap();
    let format = FileFormat::Json;
    let file =
        FileOptions { path: log.clone(), age_days_max: 0, backups_max: 0, size_mib_max: 9, compress: false, format };
    let audit = AuditOptions { policy_file: Some(policy), file: Some(file), ..AuditOptions::default() };
    let server = Server::start_with(Config { audit, ..Config::default() }).await;
    let admin = server.admin();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    let account = admin.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let now = jiff::Timestamp::now().as_second();
    let issuer = "https://kubernetes.default.svc.cluster.local";
    for overdue in [-60, 60] {
        let token = server.signer().sign(&json!({
            "iss": issuer, "aud": [issuer], "iat": now - 3600, "nbf": now - 3600, "exp": now + 3600, "jti": "x",
            "sub": "system:serviceaccount:default:a",
            "kubernetes.io": {"namespace": "default", "warnafter": now - overdue,
                "serviceaccount": {"name": "a", "uid": account["metadata"]["uid"]}},
        }));
        let client = server.remote(&[("authorization", &format!("Bearer {}", token.unwrap()))]);
        assert_eq!(client.get("/version").await.0, StatusCode::OK);
    }
    let (_, metrics) = admin.get("/metrics").await;
    for line in ["serviceaccount_stale_tokens_total 1\n", "serviceaccount_valid_tokens_total 1\n"] {
        assert!(metrics.as_str().unwrap().contains(line), "{line}");
    }
    server.api.flush().await;
    let text = std::fs::read_to_string(&log).unwrap();
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stale = |event: &Value| event["annotations"]["authentication.k8s.io/stale-token"].clone();
    assert_eq!(stale(&told[0]), Value::Null);
    let text = stale(&told[1]).as_str().unwrap().to_owned();
    assert!(text.starts_with("subject: system:serviceaccount:default:a, seconds after warning threshold: 6"), "{text}");
}

#[tokio::test]
async fn anonymous_users_may_what_roles_say() {
    let server = Server::start().await;
    let nobody = server.remote(&[]);
    for path in ["/livez", "/readyz", "/healthz", "/version"] {
        assert_eq!(nobody.get(path).await.0, StatusCode::OK, "{path}");
    }
    let (code, answer) = nobody.get("/api/v1/namespaces").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        answer["message"],
        "namespaces is forbidden: User \"system:anonymous\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope"
    );
}
