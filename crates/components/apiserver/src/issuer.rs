//! Discovery of the issuer of service-account tokens (OpenID Connect Discovery 1.0, KEP-1393), so that others can verify
//! the cluster's tokens.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::body::{self, ResponseBody};
use crate::core::Core;

/// Where the keys are.
pub(crate) const KEYS_PATH: &str = "/openid/v1/jwks";
const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// Answers one of the two documents, where `path` is one.
pub(crate) fn answer(core: &Core, path: &str) -> Option<Response<ResponseBody>> {
    match path.strip_suffix('/').unwrap_or(path) {
        CONFIGURATION_PATH => Some(document("application/json", &configuration(core))),
        KEYS_PATH => Some(document("application/jwk-set+json", &core.signer.key_set())),
        _ => None,
    }
}

fn configuration(core: &Core) -> Value {
    let keys = core.signer.key_set();
    let mut algorithms: Vec<&Value> = keys["keys"].as_array().into_iter().flatten().map(|key| &key["alg"]).collect();
    algorithms.dedup();
    json!({
        "issuer": core.issuer,
        "jwks_uri": core.jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}

/// Both may be kept for an hour, as upstream lets them.
fn document(media_type: &'static str, value: &Value) -> Response<ResponseBody> {
    let mut response = body::json_bytes(StatusCode::OK, Bytes::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
