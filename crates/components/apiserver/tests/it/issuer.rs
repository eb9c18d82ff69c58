//! The issuer's discovery documents, and tokens that they verify.

use http::StatusCode;
use minato_pki::{KeySet, Token};
use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_token_is_verified_by_what_discovery_says() {
    let server = Server::start().await;
    let admin = server.admin();
    admin.create("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "bot"}})).await;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["shop"]}});
    let answer = admin.create("/api/v1/namespaces/default/serviceaccounts/bot/token", &request).await;
    let account = server.user("system:serviceaccount:default:bot", &["system:serviceaccounts"]);
    let (code, configuration) = account.get("/.well-known/openid-configuration").await;
    assert_eq!(code, StatusCode::OK, "{configuration}");
    assert_eq!(configuration["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(configuration["jwks_uri"], "https://192.0.2.1:6443/openid/v1/jwks");
    let (_, keys) = account.get("/openid/v1/jwks").await;
    let keys = KeySet::from_jwks(&keys).unwrap();
    let token = Token::parse(answer["status"]["token"].as_str().unwrap()).unwrap();
    assert!(keys.has(&token.key_id) && keys.candidates(&token.key_id).any(|key| token.is_signed_by(key)));
    assert_eq!(token.claims["iss"], configuration["issuer"]);
    assert_eq!(server.remote(&[]).get("/openid/v1/jwks").await.0, StatusCode::FORBIDDEN);
}
