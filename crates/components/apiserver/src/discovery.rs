//! Discovery: which groups, versions and resources are served, in the classic and the aggregated form (KEP-3352).
//!
//! Follows the registry: each state of it has its own documents, and the aggregated ones, which every kubectl asks for,
//! are kept with the state, under an `ETag` that changes only when they do.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use minato_kinds::Declaration;
use serde_json::{Map, Value, json};

use crate::body::{self, ResponseBody};
use crate::registry::{Group, Resource, Served, Version};
use crate::status::ApiError;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The aggregated documents of one state of the registry, made when first asked for.
#[derive(Default)]
pub(crate) struct Documents {
    core: OnceLock<Document>,
    named: OnceLock<Document>,
}

struct Document {
    bytes: Bytes,
    etag: String,
}

/// Answers `/api`, `/apis` and what is below them, where `path` is one of these.
pub(crate) fn answer(
    served: &Served,
    path: &str,
    headers: &HeaderMap,
) -> Option<Result<Response<ResponseBody>, ApiError>> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let documents = &served.documents;
    let answer = match words.as_slice() {
        ["api"] if wants_aggregated(headers) => {
            let document = documents.core.get_or_init(|| aggregated(served.group("").into_iter().map(AsRef::as_ref)));
            Some(document.answer(headers))
        }
        ["apis"] if wants_aggregated(headers) => {
            let document = documents.named.get_or_init(|| aggregated(named(served)));
            Some(document.answer(headers))
        }
        ["api"] => Some(body::json(StatusCode::OK, &core_versions(served))),
        ["apis"] => {
            let groups: Vec<Value> = named(served).map(group_value).collect();
            Some(body::json(StatusCode::OK, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
        }
        ["apis", name] => served.group(name).filter(|group| !group.name.is_empty()).map(|group| {
            let mut value = group_value(group);
            value["kind"] = "APIGroup".into();
            value["apiVersion"] = "v1".into();
            body::json(StatusCode::OK, &value)
        }),
        [""] => Some(body::json(StatusCode::OK, &json!({"paths": paths(served)}))),
        ["api", version] => served.group("").and_then(|group| resources(group, version)),
        ["apis", name, version] => served.group(name).and_then(|group| resources(group, version)),
        _ => return None,
    };
    Some(answer.ok_or_else(ApiError::no_route))
}

/// What can be asked for without knowing more: the answer to `/`.
fn paths(served: &Served) -> Vec<String> {
    const OTHERS: [&str; 9] = [
        "/.well-known/openid-configuration",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<String> = OTHERS.iter().map(|path| (*path).to_owned()).collect();
    paths.extend(["/api".to_owned(), "/apis".to_owned()]);
    for group in served.groups() {
        let root = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{}", version.name)));
        paths.push(root);
    }
    paths.sort();
    paths.dedup();
    paths
}

fn named(served: &Served) -> impl Iterator<Item = &Group> {
    served.groups().iter().map(AsRef::as_ref).filter(|group| !group.name.is_empty())
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let parts: Vec<&str> = range.split(';').map(str::trim).collect();
        parts.first() == Some(&"application/json")
            && parts.contains(&"g=apidiscovery.k8s.io")
            && parts.contains(&"v=v2")
            && parts.contains(&"as=APIGroupDiscoveryList")
    })
}

fn core_versions(served: &Served) -> Value {
    let versions = served.group("").into_iter().flat_map(|group| &group.versions);
    let versions: Vec<&str> = versions.map(|version| &*version.name).collect();
    json!({"kind": "APIVersions", "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
}

fn group_value(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{}/{}", group.name, version.name), "version": version.name}))
        .collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions.first()})
}

fn resources(group: &Group, version: &str) -> Option<Response<ResponseBody>> {
    let version = group.versions.iter().find(|have| have.name == version)?;
    let group_version =
        if group.name.is_empty() { version.name.to_string() } else { format!("{}/{}", group.name, version.name) };
    let mut resources: Vec<Value> = version.resources.values().flat_map(|resource| classic(resource)).collect();
    resources.extend(version.remote.iter().flat_map(|remote| remote.classic.iter().cloned()));
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    });
    Some(body::json(StatusCode::OK, &list))
}

/// A resource and its subresources as `APIResource`s.
fn classic(resource: &Resource) -> Vec<Value> {
    let declaration = &*resource.declaration;
    let mut value = json!({
        "name": declaration.resource, "singularName": declaration.singular, "namespaced": declaration.namespaced,
        "kind": declaration.kind, "verbs": declaration.verbs.names(),
    });
    add_names(&mut value, declaration);
    if let Value::Object(fields) = &mut value {
        fields.insert("storageVersionHash".to_owned(), version_hash(resource).into());
    }
    let mut all = vec![value];
    for subresource in declaration.subresources {
        let (group, version, kind) = subresource.body().unwrap_or(("", "", &declaration.kind));
        let mut value = json!({
            "name": format!("{}/{}", declaration.resource, subresource.name()), "singularName": "",
            "namespaced": declaration.namespaced, "kind": kind, "verbs": subresource.verbs(),
        });
        if !version.is_empty() {
            value["version"] = version.into();
            if !group.is_empty() {
                value["group"] = group.into();
            }
        }
        all.push(value);
    }
    all
}

fn add_names(value: &mut Value, declaration: &Declaration) {
    for (key, names) in [("shortNames", &declaration.short_names), ("categories", &declaration.categories)] {
        if !names.is_empty() {
            value[key] = names.iter().collect();
        }
    }
}

/// Changes when the stored version does: clients only compare it.
fn version_hash(resource: &Resource) -> String {
    use base64::Engine as _;
    let declaration = &*resource.declaration;
    let stored = match &resource.custom {
        Some(custom) => &*custom.stored_api_version,
        None => &*declaration.storage_api_version,
    };
    let hash = hash(&(&declaration.storage, stored, &declaration.kind));
    base64::engine::general_purpose::STANDARD.encode(hash.to_be_bytes())
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn aggregated<'a>(groups: impl Iterator<Item = &'a Group>) -> Document {
    let items: Vec<Value> = groups
        .map(|group| {
            let versions: Vec<Value> =
                group.versions.iter().map(|version| aggregated_version(group, version)).collect();
            let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    let bytes = Bytes::from(list.to_string());
    let etag = format!("\"{:016X}\"", hash(&bytes));
    Document { bytes, etag }
}

impl Document {
    fn answer(&self, headers: &HeaderMap) -> Response<ResponseBody> {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == self.etag.as_bytes());
        let mut response = if known {
            body::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            body::json_bytes(StatusCode::OK, self.bytes.clone())
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        }
        response
    }
}

fn aggregated_version(group: &Group, version: &Version) -> Value {
    let mut resources: Vec<Value> =
        version.resources.values().map(|resource| aggregated_resource(group, resource)).collect();
    resources.extend(version.remote.iter().flat_map(|remote| remote.aggregated.iter().cloned()));
    let current = version.remote.as_ref().is_none_or(|remote| remote.current);
    let freshness = if current { "Current" } else { "Stale" };
    json!({"version": version.name, "resources": resources, "freshness": freshness})
}

fn aggregated_resource(group: &Group, resource: &Resource) -> Value {
    let declaration = &*resource.declaration;
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = declaration
        .subresources
        .iter()
        .map(|subresource| {
            let (g, v, k) = subresource.body().unwrap_or((&group.name, &resource.version, &declaration.kind));
            json!({"subresource": subresource.name(), "responseKind": kind(g, v, k), "verbs": subresource.verbs()})
        })
        .collect();
    let mut value = Map::from_iter([
        ("resource".to_owned(), Value::from(&*declaration.resource)),
        ("responseKind".to_owned(), kind(&group.name, &resource.version, &declaration.kind)),
        ("scope".to_owned(), if declaration.namespaced { "Namespaced" } else { "Cluster" }.into()),
        ("singularResource".to_owned(), (&*declaration.singular).into()),
        ("verbs".to_owned(), json!(declaration.verbs.names())),
    ]);
    if !subresources.is_empty() {
        value.insert("subresources".to_owned(), subresources.into());
    }
    let mut value = Value::Object(value);
    add_names(&mut value, declaration);
    value
}
